"""SPO's value tracker (arXiv 2509.13232): one forgetting rate per problem.

A problem forgets more if the policy moved further since its last visit. `tracker` differs: it has
one rate for all problems, which follows the KL of recent steps.

    eta(x) = clip(2^(-D(x) / d_half), eta_min, eta_max)     D: drift since the last visit [nat]
    v(x)   = alpha(x) / (alpha(x) + beta(x))

In the authors' code, D is the mean absolute log-ratio of the response stored at the last visit.
Here D is the sum of the KL of all steps since then, which needs no stored responses.

Shapes: B rollouts, N training problems, K initial rollouts of each problem.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage.counts import (
    Counts,
    PriorBelief,
    check_rewards,
    counted,
    earlier_visits,
    from_rollouts,
    learnt,
    prior,
    value,
)
from mssr_rl.advantage.transform import Batch, Step, Transform
from mssr_rl.metric_names import TRACKED_VALUE, TRACKER_ETA, TRACKER_KL
from mssr_rl.options import require


@dataclass(frozen=True, kw_only=True)
class DriftTracker(PriorBelief):
    """How the tracked success rate starts, and how it forgets.

    Args:
        eta_min: smallest share of an old outcome that stays when its problem is visited again
        eta_max: largest share; it applies while the policy does not change
        d_half: the drift that halves this share, between the two bounds [nat per token]
        smoothing: right and wrong answers added to the initial ones, so that no success rate starts
            at 0 or 1; null: 0.5, as in the authors' code; the paper uses 0
    """

    eta_min: float = 0.875
    eta_max: float = 0.96
    d_half: float = 0.06
    smoothing: float | None = None

    def __post_init__(self) -> None:
        require(0 < self.eta_min < 1, "eta_min", self.eta_min, "above 0 and below 1")
        in_range = self.eta_min <= self.eta_max <= 1
        require(in_range, "eta_max", self.eta_max, f"between eta_min={self.eta_min} and 1")
        require(self.d_half > 0, "d_half", self.d_half, "above 0")
        super().__post_init__()
        self.require_rollouts("smoothing", self.smoothing, 0)

    @property
    def lowest_rate(self) -> float:
        """The smallest share that is kept, `eta_min`."""
        return self.eta_min


class Drifted(NamedTuple):
    """A Beta(alpha, beta) belief for each problem, and the drift since its last visit."""

    alpha_N: Tensor  # float64: discounted successes
    beta_N: Tensor  # float64: discounted failures
    drift_N: Tensor  # float64 [nat per token]
    met_N: Tensor  # bool: the problem was visited in an earlier training step

    @property
    def value_N(self) -> Tensor:  # noqa: N802  the shape is in the name
        """The expected success rate of every problem, shape [N]."""
        return value(self.alpha_N, self.beta_N)


def subtract_drifting_value(tracker: DriftTracker) -> Transform:
    """Return a step that subtracts the problem's tracked value: A = r - v(x).

    v(x) is the mean of the problem's belief before this batch. `tracker.subtract_tracked_value`
    gives the reason.
    """

    def init(num_problems: int) -> Drifted:
        counts = prior(num_problems, tracker.strength, tracker.prior_mean)
        no_drift = torch.zeros(num_problems, dtype=torch.float64)
        return Drifted(*counts, no_drift, no_drift > 0)

    def update(a_B: Tensor, batch: Batch, old: Drifted) -> Step:
        check_rewards(batch)
        value_B = value(old.alpha_N[batch.problem_B], old.beta_N[batch.problem_B])
        # KLs of steps add up to a bound of the drift, not to the drift itself: two steps may
        # cancel. The authors measure it on a stored response, which costs a pass and the storage.
        drift_N = torch.where(old.met_N, old.drift_N + (batch.kl_step or 0.0), 0.0)
        # The policy does not change within a batch, so a second visit in it has no drift.
        again_B = earlier_visits(batch.problem_B) > 0
        drift_B = drift_N[batch.problem_B].masked_fill(again_B, 0)
        eta_B = keeping_rate(drift_B, tracker)
        counts = counted(Counts(old.alpha_N, old.beta_N), batch, eta_B)
        met_N = old.met_N.index_fill(0, batch.problem_B, value=True)
        new = Drifted(*counts, drift_N.index_fill(0, batch.problem_B, 0), met_N)
        return Step(a_B - value_B, new, _measured(value_B, eta_B, drift_B))

    def learn(old: Drifted, reward_NK: Tensor) -> Drifted:
        # Without smoothing, eight wrong initial answers give a success rate of exactly 0, and the
        # first right answer an advantage of 1 whatever the strength of the prior.
        smoothing = 0.5 if tracker.smoothing is None else tracker.smoothing
        initial_counts = from_rollouts(reward_NK, tracker.strength, smoothing)
        kept = learnt(Counts(old.alpha_N, old.beta_N), reward_NK, initial_counts)
        return old._replace(**kept._asdict())

    wanted = tracker.initial_rollouts(learn)
    return Transform("subtract_drifting_value", "rollout", "rollout", init, update, wanted)


def keeping_rate(drift: Tensor, tracker: DriftTracker) -> Tensor:
    """Return eta, the share of an old outcome that stays after this drift [nat]."""
    # d_half is a half-life: after so much drift half of an old outcome is kept.
    return torch.exp2(-drift / tracker.d_half).clamp(tracker.eta_min, tracker.eta_max)


def _measured(value_B: Tensor, eta_B: Tensor, drift_B: Tensor) -> dict[str, float]:
    """Return means over the batch as metrics: tracked value, eta, and the drift as `tracker/kl`."""
    named = {TRACKED_VALUE: value_B, TRACKER_ETA: eta_B, TRACKER_KL: drift_B}
    return {name: x.mean().item() if len(x) else 0.0 for name, x in named.items()}
