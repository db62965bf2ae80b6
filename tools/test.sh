#!/usr/bin/env bash
# Make a virtual environment in .venv-test and run linter, type checker and the whole test suite.
# Arguments go to pytest: bash tools/test.sh -k blocks
# While you work, leave out what is slow: bash tools/test.sh --quick
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/environment.sh
make_environment .venv-test ".[test]"
.venv-test/bin/ruff check .
.venv-test/bin/ruff format --check .
.venv-test/bin/mypy
# Most of a test is Python that builds graphs, one core's work: two processes take half the time.
# Threads of their own would only get in each other's way. A file's tests stay together: what they
# share, such as a run, is made once.
export TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=1
# The files with slow tests come first, which is the order that tests/conftest.py gives.
[ "${1:-}" != --quick ] || set -- -m "not slow" "${@:2}"
exec .venv-test/bin/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder "$@"
