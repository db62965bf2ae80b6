#!/usr/bin/env bash
# Make a virtual environment in .venv, install tfxfer and train the preset that needs no download.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh
make_environment .venv .
.venv/bin/python -m tfxfer.train --preset birds "$@"
