"""SPO's value tracker: every problem forgets by how far the policy moved since it was last met.

Beside `tracker`, whose one rate for all problems follows the KL of recent steps. arXiv 2509.13232.

    eta(x) = clip(2^(-D(x) / d_half), eta_min, eta_max)     D: drift since the last visit [nat]
    v(x)   = alpha(x) / (alpha(x) + beta(x))

The authors' code takes for D the mean absolute log-ratio of the response stored at the last visit;
here it is the sum of the steps' KL since then, which needs no stored responses.

Shapes: B rollouts, N training problems, K initial rollouts of each problem.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage.counts import (
    Counts,
    counted,
    earlier_visits,
    from_rollouts,
    learnt,
    prior,
    value,
)
from mssr_rl.advantage.transform import Batch, InitialRollouts, Step, Transform
from mssr_rl.options import require


@dataclass(frozen=True, kw_only=True)
class DriftTracker:
    """How the tracked success rate starts, and how it forgets.

    Args:
        eta_min: what an old outcome keeps, at the least, when its problem is met again
        eta_max: and at the most, which is what it keeps while the policy stands still
        d_half: the drift that halves what is kept, between those bounds [nat per token]
        prior: rollouts: from answers of the initial policy to every problem, charged to the budget;
            uniform: all problems start alike
        prior_strength: outcomes the starting belief is worth; null: 1 / (1 - eta_min)
        prior_mean: the success rate assumed for a problem never tried
        n_init: initial answers to each problem, where prior=rollouts; null: 8
        smoothing: right and wrong answers added to the initial ones, so that none is certain; null:
            a half, as in the code; the paper has 0
    """

    eta_min: float = 0.875
    eta_max: float = 0.96
    d_half: float = 0.06
    prior: Literal["uniform", "rollouts"] = "rollouts"
    prior_strength: float | None = None
    prior_mean: float = 0.5
    n_init: int | None = None
    smoothing: float | None = None

    def __post_init__(self) -> None:
        require(0 < self.eta_min < 1, "eta_min", self.eta_min, "above 0 and below 1")
        in_range = self.eta_min <= self.eta_max <= 1
        require(in_range, "eta_max", self.eta_max, f"between eta_min={self.eta_min} and 1")
        require(self.d_half > 0, "d_half", self.d_half, "above 0")
        strong = self.prior_strength is None or self.prior_strength > 0
        require(strong, "prior_strength", self.prior_strength, "above 0")
        require(0 < self.prior_mean < 1, "prior_mean", self.prior_mean, "above 0 and below 1")
        only = "and null unless prior=rollouts: nothing else draws initial answers"
        drawn = self.n_init is None or (self.n_init >= 1 and self.prior == "rollouts")
        require(drawn, "n_init", self.n_init, f"at least 1, {only}")
        smooth = self.smoothing is None or (self.smoothing >= 0 and self.prior == "rollouts")
        require(smooth, "smoothing", self.smoothing, f"at least 0, {only}")

    @property
    def strength(self) -> float:
        """What the prior counts for, in outcomes."""
        return 1 / (1 - self.eta_min) if self.prior_strength is None else self.prior_strength


class Drifted(NamedTuple):
    """Beta(alpha, beta) about each problem, and the drift since it was last met."""

    alpha_N: Tensor  # float64: discounted successes
    beta_N: Tensor  # float64: discounted failures
    drift_N: Tensor  # float64 [nat per token]
    met_N: Tensor  # bool: in an earlier training step

    @property
    def value_N(self) -> Tensor:  # noqa: N802  the shape is in the name
        """The expected success rate of every problem."""
        return value(self.alpha_N, self.beta_N)


def subtract_drifting_value(tracker: DriftTracker) -> Transform:
    """A = r - v(x), v the mean of the problem's belief before this batch; see `tracker` for why."""

    def init(num_problems: int) -> Drifted:
        counts = prior(num_problems, tracker.strength, tracker.prior_mean)
        no_drift = torch.zeros(num_problems, dtype=torch.float64)
        return Drifted(*counts, no_drift, no_drift > 0)

    def update(a_B: Tensor, batch: Batch, old: Drifted) -> Step:
        value_B = value(old.alpha_N[batch.problem_B], old.beta_N[batch.problem_B])
        drift_N = torch.where(old.met_N, old.drift_N + (batch.kl_step or 0.0), 0.0)
        again_B = earlier_visits(batch.problem_B) > 0  # met in this very batch: nothing moved since
        drift_B = drift_N[batch.problem_B].masked_fill(again_B, 0)
        eta_B = keeping_rate(drift_B, tracker)
        counts = counted(Counts(old.alpha_N, old.beta_N), batch, eta_B)
        met_N = old.met_N.index_fill(0, batch.problem_B, value=True)
        new = Drifted(*counts, drift_N.index_fill(0, batch.problem_B, 0), met_N)
        return Step(a_B - value_B, new, _measured(value_B, eta_B, drift_B))

    def learn(old: Drifted, reward_NK: Tensor) -> Drifted:
        smoothing = 0.5 if tracker.smoothing is None else tracker.smoothing
        found = from_rollouts(reward_NK, tracker.strength, smoothing)
        kept = learnt(Counts(old.alpha_N, old.beta_N), reward_NK, found)
        return old._replace(**kept._asdict())

    wanted = InitialRollouts(tracker.n_init or 8, learn) if tracker.prior == "rollouts" else None
    return Transform("subtract_drifting_value", "rollout", "rollout", init, update, wanted)


def keeping_rate(drift: Tensor, tracker: DriftTracker) -> Tensor:
    """eta, the share of an old outcome that a visit after so much drift keeps."""
    return torch.exp2(-drift / tracker.d_half).clamp(tracker.eta_min, tracker.eta_max)


def _measured(value_B: Tensor, eta_B: Tensor, drift_B: Tensor) -> dict[str, float]:
    """Means over the batch; `tracker/kl` is the drift."""
    named = {"tracker/mean": value_B, "tracker/eta": eta_B, "tracker/kl": drift_B}
    return {name: x.mean().item() if len(x) else 0.0 for name, x in named.items()}
