#!/usr/bin/env bash
# Set up on first use, then score a model or a checkpoint: bash scripts/eval.sh env=vision_r1
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bootstrap.sh"
# shellcheck disable=SC2046  # a list of words
bootstrap $(extras "$@")
exec "$PYTHON" -m mssr_rl eval "$@"
