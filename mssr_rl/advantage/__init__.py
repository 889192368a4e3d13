"""Advantages: small pure steps turn one reward per rollout into one advantage per token.

    mvsr = chain(subtract_tracked_value(tracker), whiten_over_batch(), to_tokens())

`transform` defines a step and chains steps. `rewards`, `steps`, `tracker`, `drift` and `shaping`
hold the steps. `state` saves the state of a chain to checkpoints. Import all of it from here.
"""

from mssr_rl.advantage.averages import (
    EventTracker,
    FadedCounts,
    MovingAverage,
    subtract_fading_value,
    subtract_moving_average,
)
from mssr_rl.advantage.beliefs import find_beliefs
from mssr_rl.advantage.drift import Drifted, DriftTracker, subtract_drifting_value
from mssr_rl.advantage.rewards import (
    penalise_overlong,
    subtract_kl_of_response,
    subtract_kl_of_token,
)
from mssr_rl.advantage.shaping import shape_by_entropy
from mssr_rl.advantage.state import restore_state, state_tensors
from mssr_rl.advantage.steps import (
    contrast_successes_with_failures,
    decided,
    divide_by_group_std,
    filter_of_failures,
    keep_some_tokens_of_failures,
    return_to_go,
    standardise_over_batch,
    subtract_batch_mean,
    subtract_greedy_reward,
    subtract_group_mean,
    subtract_leave_one_out_mean,
    subtract_length_weighted_mean,
    to_last_token,
    to_tokens,
    whiten_over_batch,
    whiten_over_tokens,
)
from mssr_rl.advantage.tracker import Beliefs, Tracker, subtract_tracked_value
from mssr_rl.advantage.transform import (
    Batch,
    InitialRollouts,
    Step,
    Transform,
    chain,
    stateless,
)

__all__ = [
    "Batch",
    "Beliefs",
    "DriftTracker",
    "Drifted",
    "EventTracker",
    "FadedCounts",
    "InitialRollouts",
    "MovingAverage",
    "Step",
    "Tracker",
    "Transform",
    "chain",
    "contrast_successes_with_failures",
    "decided",
    "divide_by_group_std",
    "filter_of_failures",
    "find_beliefs",
    "keep_some_tokens_of_failures",
    "penalise_overlong",
    "restore_state",
    "return_to_go",
    "shape_by_entropy",
    "standardise_over_batch",
    "state_tensors",
    "stateless",
    "subtract_batch_mean",
    "subtract_drifting_value",
    "subtract_fading_value",
    "subtract_greedy_reward",
    "subtract_group_mean",
    "subtract_kl_of_response",
    "subtract_kl_of_token",
    "subtract_leave_one_out_mean",
    "subtract_length_weighted_mean",
    "subtract_moving_average",
    "subtract_tracked_value",
    "to_last_token",
    "to_tokens",
    "whiten_over_batch",
    "whiten_over_tokens",
]
