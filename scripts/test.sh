#!/usr/bin/env bash
# Set up on first use, then run every check. All arguments are passed to pytest. CI runs this.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bootstrap.sh"
bootstrap cluster dev docs
cd "$ROOT"
export OMP_NUM_THREADS=1  # two workers, two cores
code=0
"$PYTHON" -m ruff format --check . || code=1
"$PYTHON" -m ruff check . || code=1
"$PYTHON" -m mypy || code=1
[ $code = 0 ] || echo "test.sh: formatting, lint or types are not in order (above); the tests follow"
ran=0
tests() {  # arguments may choose tests of one kind only; "no test" (5) is then no failure of the other
  local found=0
  "$PYTHON" -m pytest -q "$@" || found=$?
  if [ $found = 5 ] && [ $WORDS -gt 0 ]; then return; fi
  ran=1
  [ $found = 0 ] || code=$found
}
WORDS=$#
tests -n 2 -m "not cluster" "$@"
tests -m cluster "$@"  # alone: its processes want both cores
if [ $ran = 0 ]; then
  echo "test.sh: no test is chosen by: $*"
  code=5
fi
exit $code
