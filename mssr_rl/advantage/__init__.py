"""Credit: from one reward per rollout to one advantage per token, in small pure steps.

    mvsr = chain(subtract_tracked_value(tracker), whiten_over_batch(), to_tokens())

`transform` says what a step is and chains them; `steps`, `tracker` and `shaping` hold the steps;
`state` turns what a chain remembers into checkpoints. All of it can be imported from here.
"""

from mssr_rl.advantage.shaping import shape_by_entropy
from mssr_rl.advantage.state import restore_state, state_tensors
from mssr_rl.advantage.steps import (
    divide_by_group_std,
    return_to_go,
    subtract_group_mean,
    subtract_leave_one_out_mean,
    to_last_token,
    to_tokens,
    whiten_over_batch,
    whiten_over_tokens,
)
from mssr_rl.advantage.tracker import Beliefs, Tracker, find_beliefs, subtract_tracked_value
from mssr_rl.advantage.transform import Batch, Step, Transform, chain, stateless

__all__ = [
    "Batch",
    "Beliefs",
    "Step",
    "Tracker",
    "Transform",
    "chain",
    "divide_by_group_std",
    "find_beliefs",
    "restore_state",
    "return_to_go",
    "shape_by_entropy",
    "state_tensors",
    "stateless",
    "subtract_group_mean",
    "subtract_leave_one_out_mean",
    "subtract_tracked_value",
    "to_last_token",
    "to_tokens",
    "whiten_over_batch",
    "whiten_over_tokens",
]
