"""Baselines that discount old rewards at every step: a moving average, and SPO++'s value tracker.

`tracker` and `drift` are different: they discount the outcomes of a problem only when the problem
is visited again.

Shapes: B rollouts, N training problems, K initial rollouts of each problem.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage.counts import (
    Counts,
    PriorBelief,
    check_rewards,
    from_rollouts,
    learnt,
    prior,
    value,
)
from mssr_rl.advantage.transform import Batch, Step, Transform
from mssr_rl.metric_names import TRACKED_VALUE, TRACKER_ETA
from mssr_rl.options import require

FAINTEST = 1e-6  # smallest amount of evidence, in outcomes, so that its mean stays defined


class MovingAverage(NamedTuple):
    """The state of `subtract_moving_average`: the moving average of all rewards."""

    mean: Tensor  # float64, without dimensions


def subtract_moving_average(decay: float, moves: Literal["rollout", "batch"]) -> Transform:
    """Return a step that subtracts the moving average b of all rewards: A = r - b.

    For every rollout, b <- decay * b + (1 - decay) * r; b starts at 0. moves=rollout: b changes
    after every rollout of the batch, in order. moves=batch: all rollouts of a batch use the b from
    before the batch; then b changes by each of them, in order.
    """
    require(0 <= decay < 1, "decay", decay, "at least 0 and below 1")

    def update(a_B: Tensor, batch: Batch, old: MovingAverage) -> Step:
        before, mean = [], float(old.mean)
        for reward in batch.reward_B.tolist():
            before.append(mean)
            mean = decay * mean + (1 - decay) * reward
        baseline_B = torch.tensor(before, dtype=torch.float64)
        if moves == "batch":
            baseline_B = torch.full_like(baseline_B, float(old.mean))
        seen = baseline_B.mean().item() if before else float(old.mean)
        new = MovingAverage(torch.tensor(mean, dtype=torch.float64))
        return Step(a_B - baseline_B, new, {TRACKED_VALUE: seen})

    def init(_: int) -> MovingAverage:
        return MovingAverage(torch.zeros((), dtype=torch.float64))

    name = "subtract_moving_average"
    return Transform(name, "rollout", "rollout", init, update, by_place=True)


@dataclass(frozen=True, kw_only=True)
class EventTracker(PriorBelief):
    """How the evidence about a problem starts, and how it is discounted after every step.

    Args:
        retention: share of all evidence that stays after a training step
        prior_strength: number of outcomes that the starting belief counts for; null:
            1 / (1 - retention)
    """

    retention: float = 0.875

    def __post_init__(self) -> None:
        require(0 < self.retention < 1, "retention", self.retention, "above 0 and below 1")
        super().__post_init__()

    @property
    def lowest_rate(self) -> float:
        """The same share at every step, `retention`."""
        return self.retention


class FadedCounts(NamedTuple):
    """Discounted successes and failures of each problem."""

    alpha_N: Tensor  # float64
    beta_N: Tensor  # float64

    @property
    def value_N(self) -> Tensor:  # noqa: N802  the shape is in the name
        """The expected success rate of every problem, shape [N]."""
        return value(self.alpha_N, self.beta_N)


def subtract_fading_value(tracker: EventTracker) -> Transform:
    """Return a step that subtracts the problem's tracked value: A = r - v(x).

    v(x) is the value before this batch. After the batch, the evidence about all problems is
    discounted once. This is SPO++ (arXiv 2608.24870) in synchronous training. An outcome that is k
    steps old has weight retention^k, even if its problem was not visited in between.
    """

    def init(num_problems: int) -> FadedCounts:
        return FadedCounts(*prior(num_problems, tracker.strength, tracker.prior_mean))

    def update(a_B: Tensor, batch: Batch, old: FadedCounts) -> Step:
        check_rewards(batch)
        value_B = old.value_N[batch.problem_B]
        won_B = (batch.reward_B > 0.5).to(old.alpha_N.dtype)
        alpha_N = old.alpha_N.index_add(0, batch.problem_B, won_B)
        beta_N = old.beta_N.index_add(0, batch.problem_B, 1 - won_B)
        whole_N = alpha_N + beta_N
        # Without the bound, the evidence of a problem that is not visited for long would become 0,
        # and its success rate 0 / 0.
        kept_N = (tracker.retention * whole_N).clamp(min=FAINTEST) / whole_N
        seen = value_B.mean().item() if len(value_B) else 0.0
        metrics = {TRACKED_VALUE: seen, TRACKER_ETA: tracker.retention}
        return Step(a_B - value_B, FadedCounts(alpha_N * kept_N, beta_N * kept_N), metrics)

    def learn(old: FadedCounts, reward_NK: Tensor) -> FadedCounts:
        counts = from_rollouts(reward_NK, tracker.strength)
        return FadedCounts(*learnt(Counts(*old), reward_NK, counts))

    wanted = tracker.initial_rollouts(learn)
    return Transform("subtract_fading_value", "rollout", "rollout", init, update, wanted)
