"""Baselines that fade: a moving average of all rewards, and evidence that ages with the policy.

Beside `tracker` and `drift`, whose memory of a problem fades when the problem is met again.

Shapes: B rollouts, N training problems, K initial rollouts of each problem.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage.counts import Counts, check_rewards, from_rollouts, learnt, prior, value
from mssr_rl.advantage.transform import Batch, InitialRollouts, Step, Transform
from mssr_rl.metric_names import TRACKED_VALUE, TRACKER_ETA
from mssr_rl.options import require

FAINTEST = 1e-6  # outcomes' worth of evidence that is always left: its mean must stay defined


class MovingAverage(NamedTuple):
    """What rewards were like."""

    mean: Tensor  # float64, without dimensions


def subtract_moving_average(decay: float, moves: Literal["rollout", "batch"]) -> Transform:
    """A = r - b, then b <- decay * b + (1 - decay) * r for every rollout, from b = 0.

    moves=rollout: each rollout sees what those before it in the batch left. moves=batch: all of a
    batch see the same b, which then moves through the batch in order.
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
class EventTracker:
    """How evidence about a problem starts, and how it fades with every step.

    Args:
        retention: what is left of all evidence after a step, in which the policy changed
        prior: rollouts: from answers of the initial policy to every problem, charged to the budget;
            uniform: all problems start alike
        prior_strength: outcomes the starting belief is worth; null: 1 / (1 - retention)
        prior_mean: the success rate assumed for a problem never tried
        n_init: initial answers to each problem, where prior=rollouts; null: 8
    """

    retention: float = 0.875
    prior: Literal["uniform", "rollouts"] = "rollouts"
    prior_strength: float | None = None
    prior_mean: float = 0.5
    n_init: int | None = None

    def __post_init__(self) -> None:
        require(0 < self.retention < 1, "retention", self.retention, "above 0 and below 1")
        strong = self.prior_strength is None or self.prior_strength > 0
        require(strong, "prior_strength", self.prior_strength, "above 0")
        require(0 < self.prior_mean < 1, "prior_mean", self.prior_mean, "above 0 and below 1")
        only = "and null unless prior=rollouts: nothing else draws initial answers"
        drawn = self.n_init is None or (self.n_init >= 1 and self.prior == "rollouts")
        require(drawn, "n_init", self.n_init, f"at least 1, {only}")

    @property
    def strength(self) -> float:
        """What the prior counts for, in outcomes."""
        return 1 / (1 - self.retention) if self.prior_strength is None else self.prior_strength


class FadedCounts(NamedTuple):
    """Faded successes and failures of each problem."""

    alpha_N: Tensor  # float64
    beta_N: Tensor  # float64

    @property
    def value_N(self) -> Tensor:  # noqa: N802  the shape is in the name
        """The expected success rate of every problem."""
        return value(self.alpha_N, self.beta_N)


def subtract_fading_value(tracker: EventTracker) -> Transform:
    """A = r - v(x) with the evidence before this batch; then all evidence fades by one step.

    SPO++ (arXiv 2608.24870) in synchronous training: an outcome that is k steps old weighs
    retention^k, whether or not its problem was met in between.
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
        # Of a problem that is not met for long nothing would be left, and 0 / 0 is no success rate.
        kept_N = (tracker.retention * whole_N).clamp(min=FAINTEST) / whole_N
        seen = value_B.mean().item() if len(value_B) else 0.0
        metrics = {TRACKED_VALUE: seen, TRACKER_ETA: tracker.retention}
        return Step(a_B - value_B, FadedCounts(alpha_N * kept_N, beta_N * kept_N), metrics)

    def learn(old: FadedCounts, reward_NK: Tensor) -> FadedCounts:
        counts = from_rollouts(reward_NK, tracker.strength)
        return FadedCounts(*learnt(Counts(*old), reward_NK, counts))

    wanted = InitialRollouts(tracker.n_init or 8, learn) if tracker.prior == "rollouts" else None
    return Transform("subtract_fading_value", "rollout", "rollout", init, update, wanted)
