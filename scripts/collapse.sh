#!/usr/bin/env bash
# Set up on first use, then run a part of the study of collapse (docs/collapse.md):
#     bash scripts/collapse.sh control|regime|screening|map|rescue|text|sizes [key=value ...]
#     bash scripts/collapse.sh map --plan      how long it takes
#     bash scripts/collapse.sh draw            every figure again, from study/collapse/
# An interrupted part continues with the same command. Further words replace a part's own.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bootstrap.sh"
bootstrap
exec "$PYTHON" "$(dirname "${BASH_SOURCE[0]}")/collapse_study.py" "$@"
