"""The value tracker of single-rollout algorithms: a Beta belief about each problem's success rate.

A group algorithm compares a rollout with the other rollouts of its group. This step compares it
with earlier rewards of the same problem (MSSR, arXiv 2512.18215, after SPO, arXiv 2509.13232). Old
outcomes are discounted when the policy changes: the rate eta follows the KL of recent steps.

Shapes: B rollouts, N training problems, K steps of KL history.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage.counts import (
    Counts,
    PriorBelief,
    check_rewards,
    counted,
    from_rollouts,
    learnt,
    prior,
    value,
)
from mssr_rl.advantage.transform import Batch, Step, Transform
from mssr_rl.errors import UserError
from mssr_rl.loss import kl
from mssr_rl.metric_names import TRACKED_VALUE, TRACKER_ETA, TRACKER_KL
from mssr_rl.options import require


@dataclass(frozen=True, kw_only=True)
class Tracker(PriorBelief):
    """How the tracked success rate starts, and how it forgets.

    Args:
        eta_min: smallest share of an old outcome that stays when its problem is visited again
        eta_max: largest share; the last 1 / (1 - eta) visits count most
        eta_schedule: prose: eta falls as the KL rises, as the paper's text argues; released: eta
            rises up to kl_target, then drops, as in the paper's formula and code; paper: an older
            name of prose
        kl_source: step: between consecutive policies; reference: from the frozen initial model
        kl_target: the KL at which eta reaches the other end of its range [nat per token]
        kl_window: number of steps over which the KL is averaged
        n_init: initial answers to each problem if prior=rollouts; null: 1
    """

    usual_n_init: ClassVar[int] = 1

    eta_min: float = 0.875
    eta_max: float = 0.96
    eta_schedule: Literal["prose", "released", "paper"] = "prose"
    kl_source: Literal["step", "reference"] = "step"
    kl_target: float = 0.01
    kl_window: int = 20
    prior: Literal["uniform", "rollouts"] = "uniform"

    def __post_init__(self) -> None:
        if self.eta_schedule == "paper":  # recorded runs have this value
            object.__setattr__(self, "eta_schedule", "prose")
        require(0 < self.eta_min <= 1, "eta_min", self.eta_min, "above 0 and at most 1")
        in_range = self.eta_min <= self.eta_max <= 1
        require(in_range, "eta_max", self.eta_max, f"between eta_min={self.eta_min} and 1")
        require(self.kl_target > 0, "kl_target", self.kl_target, "above 0")
        require(self.kl_window >= 1, "kl_window", self.kl_window, "at least 1")
        says = "a number when eta_min=1, because null means 1 / (1 - eta_min)"
        given = self.eta_min < 1 or self.prior_strength is not None
        require(given, "prior_strength", None, says)
        super().__post_init__()

    @property
    def lowest_rate(self) -> float:
        """The smallest share that is kept, `eta_min`."""
        return self.eta_min


class Beliefs(NamedTuple):
    """A Beta(alpha, beta) belief for each problem, and the KL of recent steps."""

    alpha_N: Tensor  # float64: discounted successes
    beta_N: Tensor  # float64: discounted failures
    kl_K: Tensor  # float64 [nat per token]: newest last; only the last `kl_count` are measured
    kl_count: int

    @property
    def value_N(self) -> Tensor:  # noqa: N802  the shape is in the name
        """The expected success rate of every problem, shape [N]."""
        return value(self.alpha_N, self.beta_N)

    @property
    def kl_mean(self) -> float | None:
        """The mean KL over the window [nat per token]; None while the window is empty."""
        if not self.kl_count:
            return None
        return self.kl_K[-self.kl_count :].mean().item()


def subtract_tracked_value(tracker: Tracker) -> Transform:
    """Return a step that subtracts the problem's tracked value: A = r - v(x).

    v(x) is the mean of the problem's belief before this batch, even if the problem occurs twice in
    it. So no rollout is part of its own baseline. Then the beliefs are updated in batch order, with
    one rate eta for the whole batch.
    """

    def init(num_problems: int) -> Beliefs:
        no_kl = torch.zeros(tracker.kl_window, dtype=torch.float64)
        return Beliefs(*prior(num_problems, tracker.strength, tracker.prior_mean), no_kl, 0)

    def update(a_B: Tensor, batch: Batch, old: Beliefs) -> Step:
        check_rewards(batch)
        value_B = value(old.alpha_N[batch.problem_B], old.beta_N[batch.problem_B])
        recent = _remember(old, _measured_kl(batch, tracker))
        # One eta for all problems: the KL says how far the policy moved, not on which problem.
        eta = forgetting_rate(recent.kl_mean, tracker)
        metrics = {
            TRACKED_VALUE: value_B.mean().item() if len(value_B) else 0.0,
            TRACKER_ETA: eta,
            TRACKER_KL: recent.kl_mean or 0.0,
        }
        # The counts change after the values were read, so this batch is not part of its own
        # baseline.
        counts = Counts(recent.alpha_N, recent.beta_N)
        after = counted(counts, batch, torch.full_like(value_B, eta))
        return Step(a_B - value_B, recent._replace(**after._asdict()), metrics)

    def learn(old: Beliefs, reward_NK: Tensor) -> Beliefs:
        initial_counts = from_rollouts(reward_NK, tracker.strength)
        kept = learnt(Counts(old.alpha_N, old.beta_N), reward_NK, initial_counts)
        return old._replace(**kept._asdict())

    wanted = tracker.initial_rollouts(learn)
    return Transform("subtract_tracked_value", "rollout", "rollout", init, update, wanted)


def forgetting_rate(kl_mean: float | None, tracker: Tracker) -> float:
    """Return eta: the share of an old outcome that stays when its problem is visited again.

    prose: eta falls from eta_max to eta_min as the KL rises to its target. It is eta_max before the
    first KL. MSSR's text argues for this. released: eta *rises* from eta_min up to the target and
    drops to eta_min above it. It is the midpoint before the first KL. MSSR's printed formula and
    its code do this.
    """
    # eta = 0.875 remembers about 8 visits, 0.96 about 25: 1 / (1 - eta). A problem is visited once
    # an epoch, so these are epochs.
    span = tracker.eta_max - tracker.eta_min
    if kl_mean is None:
        # No KL was measured before the second step; the two texts start from different ends.
        return tracker.eta_max if tracker.eta_schedule == "prose" else tracker.eta_min + span / 2
    drift = min(kl_mean / tracker.kl_target, 1.0)
    if tracker.eta_schedule == "prose":
        return max(tracker.eta_max - drift * span, tracker.eta_min)
    if kl_mean > tracker.kl_target:
        return tracker.eta_min
    return min(tracker.eta_min + drift * span, tracker.eta_max)


def _measured_kl(batch: Batch, tracker: Tracker) -> float | None:
    if tracker.kl_source == "step":
        return batch.kl_step
    if batch.logprob_ref_BT is None:
        raise UserError(
            "kl_source=reference needs the log-probabilities of the frozen model (logprob_ref), "
            "which this batch does not hold; add them, or use kl_source=step"
        )
    # k3 is never negative. The mean of k1 over few tokens can be, and a negative KL has no eta.
    kl_BT = kl(batch.logprob_BT.double(), batch.logprob_ref_BT.double(), "k3")
    total_B = kl_BT.masked_fill(batch.mask_BT == 0, 0).sum(1)
    # MSSR's released code does not mask the numerator, so padding can enter the sum. We mask it.
    return (total_B / batch.mask_BT.sum(1).clamp(min=1)).mean().item()


def _remember(old: Beliefs, kl_value: float | None) -> Beliefs:
    if kl_value is None:
        return old
    # The window is shifted into a new tensor: a state is never written to, so a step that breaks
    # leaves no trace.
    newest = old.kl_K.new_tensor([kl_value])
    count = min(old.kl_count + 1, len(old.kl_K))
    return old._replace(kl_K=torch.cat([old.kl_K[1:], newest]), kl_count=count)
