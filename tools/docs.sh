#!/usr/bin/env bash
# Build the pages of docs/ into build/docs; a warning is an error. PYTHON names another Python.
# It needs: pip install --constraint tools/constraints.txt ".[docs]"
set -euo pipefail
cd "$(dirname "$0")/.."
"${PYTHON:-python3}" -m sphinx --fail-on-warning --keep-going --quiet --builder html \
  --doctree-dir build/doctrees docs build/docs "$@"
echo "build/docs/index.html"
