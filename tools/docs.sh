#!/usr/bin/env bash
# Build the pages of docs/ into build/docs; a warning is an error.
# The tools that build them go into .venv-docs, unless PYTHON names a Python that has them.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${PYTHON:-}" ]; then
  source tools/environment.sh
  make_environment .venv-docs ".[docs]"
  PYTHON=.venv-docs/bin/python
fi
"$PYTHON" -m sphinx --fail-on-warning --keep-going --quiet --builder html \
  --doctree-dir build/doctrees docs build/docs "$@"
echo "build/docs/index.html"
