#!/usr/bin/env bash
# Set up on first use, then hold every algorithm with one rollout per problem against three group
# algorithms: five seeds, the laptop recipe, one verdict. Further words are compare's own:
#     bash scripts/arena.sh name=arena        bash scripts/arena.sh seeds=2 recipe=quick
# Trackers start from one belief about all problems (prior=uniform): initial answers to every
# problem, as in their papers, would take most of the laptop recipe's budget.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/bootstrap.sh"
# shellcheck disable=SC2046  # a list of words
bootstrap $(extras "$@")
single=reinforce_pp,batch_mean,rae,c_rf,flash_reinforce,spo,spo_pp,mvsr,mssr,mssr_released
groups=grpo,rloo,dapo
words=(algo="$single,$groups" env=vision_r1 seeds=5)
for tracked in spo spo_pp mssr_released; do
    words+=("$tracked.algo.prior=uniform" "$tracked.algo.n_init=null")
done
exec "$PYTHON" -m mssr_rl compare "${words[@]}" "$@"
