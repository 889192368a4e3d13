"""The law that a value never sees the reward it is held against.

A tracker that counts an outcome first and subtracts afterwards compares a rollout partly with
itself. Whitening hides the mistake, so the step that remembers is looked at alone where the chain
shows it.
"""

from typing import Any

import torch

from mssr_rl.advantage import Batch, Transform, state_tensors
from mssr_rl.conformance.batches import ROWS, draw

TOLERANCE = 1e-6
WARM_UP = ((3, 0, 7), (3, 0), (3,), (5, 9))  # visits differ: equal counts would hide a leak
LEAK = (
    "the value subtracted from a rollout depends on that rollout's own reward: {detail}. Subtract "
    "with the state before the batch, then update the state"
)


def leak(advantage: Transform, group_size: int) -> str | None:
    """How own rewards get into the baseline; None if they do not, or nothing is remembered."""
    state = _warm(advantage, group_size)
    step, memory = _first_that_remembers(advantage, state)
    if step is None:
        return None
    batch = draw(11, group_size, ROWS)
    if (step.takes, step.gives) == ("rollout", "rollout"):
        return _leak_of_step(step, memory, batch)
    return _leak_of_whole(advantage, state, batch)


def _warm(advantage: Transform, group_size: int) -> Any:
    state = advantage.init(12)
    for seed, rows in enumerate(WARM_UP):
        batch = draw(20 + seed, group_size, rows)
        state = advantage.update(batch.reward_B, batch, state).state
    return state


def _first_that_remembers(advantage: Transform, state: Any) -> tuple[Transform | None, Any]:
    pairs = zip(advantage.parts, state, strict=True) if advantage.parts else [(advantage, state)]
    return next(((step, own) for step, own in pairs if state_tensors(own)), (None, None))


def _leak_of_step(step: Transform, memory: Any, batch: Batch) -> str | None:
    """Raise one rollout's reward by 1: its advantage must rise by 1."""
    for i in range(len(batch.reward_B)):
        low, high = (_with_reward(batch, i, reward) for reward in (0.0, 1.0))
        one, two = (step.update(b.reward_B, b, memory).advantage[i] for b in (low, high))
        rise = (two - one).item()
        if abs(rise - 1) > TOLERANCE:
            return LEAK.format(detail=f"in {step.name}, 1 more reward gives {rise:.4g} more")
    return None


def _leak_of_whole(advantage: Transform, state: Any, batch: Batch) -> str | None:
    """Raise all rewards alike: all advantages must move alike."""
    all_wrong, all_right = (
        batch._replace(reward_B=torch.full_like(batch.reward_B, reward)) for reward in (0.0, 1.0)
    )
    one, two = (advantage.update(b.reward_B, b, state).advantage for b in (all_wrong, all_right))
    rise = (two - one)[batch.mask_BT > 0]
    if rise.max() - rise.min() > TOLERANCE:
        detail = (
            f"1 more reward for every rollout gives between {rise.min().item():.4g} and "
            f"{rise.max().item():.4g} more"
        )
        return LEAK.format(detail=detail)
    return None


def _with_reward(batch: Batch, i: int, reward: float) -> Batch:
    reward_B = batch.reward_B.clone()
    reward_B[i] = reward
    return batch._replace(reward_B=reward_B)
