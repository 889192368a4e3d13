#!/usr/bin/env bash
# Set up on first use, then train: bash scripts/run.sh algo=mssr env=vision_r1
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bootstrap.sh"
# shellcheck disable=SC2046  # a list of words
bootstrap $(extras "$@")
exec "$PYTHON" -m mssr_rl train "$@"
