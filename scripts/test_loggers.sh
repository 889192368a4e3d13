#!/usr/bin/env bash
# Test the loggers of packages that do not fit the pinned versions: trackio and mlflow-skinny.
# Each gets a virtual environment of its own, which sees the packages of .venv behind its own.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bootstrap.sh"
bootstrap dev
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
behind=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
for package in trackio==0.43.0 mlflow-skinny==3.17.2; do
  own=$place/${package%%==*}
  "$PYTHON" -m venv "$own"
  echo "$behind" >"$("$own/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/behind.pth"
  # shellcheck disable=SC2086  # MSSR_PIP_ARGS may be several words
  "$own/bin/python" -m pip install --quiet ${MSSR_PIP_ARGS:-} "$package"
  logger=${package%%[-=]*}
  "$own/bin/python" -m pytest -q "$ROOT/tests/run/test_loggers.py" -k "numbers_of_the_run and $logger"
done
