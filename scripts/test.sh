#!/usr/bin/env bash
# Set up on first use, then run every check; further words go to pytest. CI runs this.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bootstrap.sh"
bootstrap cluster dev
cd "$ROOT"
export OMP_NUM_THREADS=1  # two workers, two cores
code=0
"$PYTHON" -m ruff format --check . || code=1
"$PYTHON" -m ruff check . || code=1
"$PYTHON" -m mypy || code=1
[ $code = 0 ] || echo "test.sh: formatting, lint or types are not in order (above); the tests follow"
"$PYTHON" -m pytest -q -n 2 -m "not cluster" "$@" || code=$?
"$PYTHON" -m pytest -q -m cluster "$@" || code=$?  # alone: its processes want both cores
exit $code
