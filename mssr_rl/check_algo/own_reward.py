"""The law that a rollout's own reward must not be part of its baseline.

A tracker that first counts an outcome, and then subtracts the value, compares a rollout partly with
itself. Whitening hides this mistake. So the steps with a state are checked alone, if the chain
shows its steps.
"""

from typing import Any

import torch

from mssr_rl.advantage import Batch, Transform, state_tensors
from mssr_rl.check_algo.batches import ROWS, draw

TOLERANCE = 1e-6
WARM_UP = ((3, 0, 7), (3, 0), (3,), (5, 9))  # different numbers of visits; equal ones hide a leak
LEAK = (
    "the value subtracted from a rollout depends on that rollout's own reward: {detail}. Subtract "
    "with the state before the batch, then update the state"
)


def leak(advantage: Transform, group_size: int) -> str | None:
    """Return a sentence on how a rollout's own reward gets into its baseline; None if it does not.

    An algorithm without a state keeps the law.
    """
    state = _warm(advantage, group_size)
    batch = draw(11, group_size, ROWS)
    remembering = _that_remember(advantage, state)
    if any((step.takes, step.gives) != ("rollout", "rollout") for step, _ in remembering):
        return _leak_of_whole(advantage, state, batch)
    for place, (step, memory) in enumerate(remembering):
        fault = _of_later(step, memory, batch) if place else _of_first(step, memory, batch)
        if fault is not None:
            return fault
    return None


def _warm(advantage: Transform, group_size: int) -> Any:
    state = advantage.init(12)
    for seed, rows in enumerate(WARM_UP):
        batch = draw(20 + seed, group_size, rows)
        state = advantage.update(batch.reward_B, batch, state).state
    return state


def _that_remember(advantage: Transform, state: Any) -> list[tuple[Transform, Any]]:
    """Return the steps that have a state, each with its state, also from chains within chains."""
    if not advantage.parts:
        return [(advantage, state)] if state_tensors(state) else []
    pairs = zip(advantage.parts, state, strict=True)
    return [pair for part, own in pairs for pair in _that_remember(part, own)]


def _of_first(step: Transform, memory: Any, batch: Batch) -> str | None:
    """Check the first step with a state: 1 more reward for a rollout must give it 1 more advantage.

    The advantages of all rollouts may also rise by another common factor. Then the step must read
    rewards only from its input. Returns a sentence if the law is broken.
    """
    rises = [_rise(step, memory, batch, i, given_too=True) for i in range(len(batch.reward_B))]
    furthest = max(rises, key=lambda rise: abs(rise - 1))
    scaled = max(rises) - min(rises) < TOLERANCE and _of_later(step, memory, batch) is None
    return None if abs(furthest - 1) < TOLERANCE or scaled else _said(step, furthest)


def _of_later(step: Transform, memory: Any, batch: Batch) -> str | None:
    """Check that a later step does not read a rollout's reward from the batch.

    The reward in the batch rises by 1 while the step's input stays the same. The advantage of the
    rollout must not change. Returns a sentence if it does.
    """
    rises = (_rise(step, memory, batch, i, given_too=False) for i in range(len(batch.reward_B)))
    return next((_said(step, rise) for rise in rises if abs(rise) > TOLERANCE), None)


def _rise(step: Transform, memory: Any, batch: Batch, i: int, *, given_too: bool) -> float:
    low, high = (_with_reward(batch, i, reward) for reward in (0.0, 1.0))
    one, two = (
        step.update(b.reward_B if given_too else batch.reward_B, b, memory).advantage[i]
        for b in (low, high)
    )
    return (two - one).item()


def _said(step: Transform, rise: float) -> str:
    return LEAK.format(detail=f"in {step.name}, 1 more reward gives {rise:.4g} more")


def _leak_of_whole(advantage: Transform, state: Any, batch: Batch) -> str | None:
    """Check the whole chain: the same rise of all rewards must change all advantages equally.

    Returns a sentence if it does not.
    """
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
