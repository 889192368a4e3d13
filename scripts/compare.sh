#!/usr/bin/env bash
# Set up on first use, then compare: bash scripts/compare.sh algo=grpo,mssr env=vision_r1 seeds=5
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bootstrap.sh"
bootstrap
exec "$PYTHON" -m mssr_rl compare "$@"
