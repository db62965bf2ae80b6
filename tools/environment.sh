# Sourced by quickstart.sh and test.sh: make_environment FOLDER REQUIREMENT
# makes a virtual environment and installs the checkout with the tested versions. A second call is
# quick: nothing is installed while the requirements, the constraints and Python are the same.

make_environment() {
  local folder=$1 requirement=$2 python stamp
  for python in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if command -v "$python" >/dev/null && "$python" -c \
      'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'; then
      break
    fi
    python=""
  done
  if [ -z "$python" ]; then
    echo "tfxfer needs Python 3.11, 3.12 or 3.13. Received: none of these on the PATH." \
      "Install one, or name it: PYTHON=/path/to/python3.12 bash $0" >&2
    exit 2
  fi
  stamp=$({ "$python" --version; echo "$requirement"; pwd; cat setup.cfg pyproject.toml \
    tools/constraints.txt; } | cksum)
  if [ "$(cat "$folder/installed" 2>/dev/null)" = "$stamp" ]; then
    return
  fi
  echo "Installing into $folder (once) …"
  "$python" -m venv "$folder"
  "$folder/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint tools/constraints.txt --editable "$requirement"
  echo "$stamp" >"$folder/installed"
}
