"""Discounted counts of right and wrong answers, one pair per problem. All trackers use them.

    alpha <- eta * alpha + won,  beta <- eta * beta + 1 - won        once per visit, in batch order

`won` is 1 for a right answer, else 0. All functions are pure.

Shapes: B rollouts, N training problems, K initial rollouts of each problem.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage.transform import Batch, InitialRollouts
from mssr_rl.errors import UserError
from mssr_rl.options import require


@dataclass(frozen=True, kw_only=True)
class PriorBelief(ABC):
    """Where the tracked success rates start. Each tracker adds how they change.

    Args:
        prior: rollouts: start from answers of the initial policy to every problem, charged to the
            budget; uniform: start all problems with the same success rate
        prior_strength: number of outcomes that the starting belief counts for; null:
            1 / (1 - eta_min)
        prior_mean: success rate assumed for a problem that was never tried
        n_init: initial answers to each problem if prior=rollouts; null: 8
    """

    usual_n_init: ClassVar[int] = 8

    prior: Literal["uniform", "rollouts"] = "rollouts"
    prior_strength: float | None = None
    prior_mean: float = 0.5
    n_init: int | None = None

    def __post_init__(self) -> None:
        strong = self.prior_strength is None or self.prior_strength > 0
        require(strong, "prior_strength", self.prior_strength, "above 0")
        require(0 < self.prior_mean < 1, "prior_mean", self.prior_mean, "above 0 and below 1")
        self.require_rollouts("n_init", self.n_init, 1)

    def require_rollouts(self, name: str, value: float | None, least: int) -> None:
        """Raise UserError unless an option of the initial answers is null or has its effect."""
        holds = value is None or (value >= least and self.prior == "rollouts")
        only = "and null unless prior=rollouts: nothing else draws initial answers"
        require(holds, name, value, f"at least {least}, {only}")

    @property
    @abstractmethod
    def lowest_rate(self) -> float:
        """The smallest share of the evidence that is kept; it sets the default strength."""

    @property
    def strength(self) -> float:
        """The weight of the prior, as a number of outcomes."""
        return 1 / (1 - self.lowest_rate) if self.prior_strength is None else self.prior_strength

    def initial_rollouts(self, learn: Callable[[Any, Tensor], Any]) -> InitialRollouts | None:
        """Return the request for initial answers; None if all problems start the same.

        `learn` is the field of `InitialRollouts`.
        """
        wanted = InitialRollouts(self.n_init or self.usual_n_init, learn)
        return wanted if self.prior == "rollouts" else None


class Counts(NamedTuple):
    """The discounted counts of right and wrong answers to N problems, float64."""

    alpha_N: Tensor  # discounted successes
    beta_N: Tensor  # discounted failures


def value(alpha: Tensor, beta: Tensor) -> Tensor:
    """Return the mean of Beta(alpha, beta), which is the expected success rate."""
    return alpha / (alpha + beta)


def prior(num_problems: int, strength: float, mean: float) -> Counts:
    """Return the same counts for every problem: `strength` outcomes with success rate `mean`."""
    strength_N = torch.full((num_problems,), strength, dtype=torch.float64)
    return Counts(strength_N * mean, strength_N * (1 - mean))


def from_rollouts(reward_NK: Tensor, strength: float, smoothing: float = 0.0) -> Counts:
    """Return counts from K initial rollouts per problem, scaled to `strength` outcomes.

    alpha = strength * (sum r + smoothing) / (K + 2 * smoothing). MSSR uses a smoothing of 0. SPO's
    code uses 0.5, so that no success rate starts at exactly 0 or 1. NaN rewards are left out.
    """
    right_N = reward_NK.to(torch.float64).nansum(1) + smoothing
    answers_N = (~reward_NK.isnan()).sum(1)
    # The initial answers set the mean, the strength alone sets the weight: eight answers must not
    # outweigh what a visit later adds.
    alpha_N = strength * right_N / (answers_N + 2 * smoothing)
    return Counts(alpha_N, strength - alpha_N)


def learnt(before: Counts, reward_NK: Tensor, new_counts: Counts) -> Counts:
    """Return `new_counts`, but keep `before` for problems whose initial rewards are all NaN."""
    some_N = (~reward_NK.isnan()).any(1)
    pairs = zip(new_counts, before, strict=True)
    return Counts(*(torch.where(some_N, new, old) for new, old in pairs))


def counted(old: Counts, batch: Batch, eta_B: Tensor) -> Counts:
    """Return the counts after the batch; a problem with k rollouts in it is updated k times."""
    alpha_N, beta_N = old.alpha_N.clone(), old.beta_N.clone()
    # A reward with a format bonus may be 0.9 or 0.1; a Beta belief counts successes, so it is cut.
    won_B = (batch.reward_B > 0.5).to(alpha_N.dtype)
    visit_B = earlier_visits(batch.problem_B)
    for visit in range(int(visit_B.max()) + 1 if len(visit_B) else 0):
        # In one round every problem occurs at most once, so one indexed assignment is enough.
        now_B = visit_B == visit
        row, won, eta = batch.problem_B[now_B], won_B[now_B], eta_B[now_B]
        alpha_N[row] = eta * alpha_N[row] + won
        beta_N[row] = eta * beta_N[row] + (1 - won)
    return Counts(alpha_N, beta_N)


def check_rewards(batch: Batch) -> None:
    """Raise UserError if a reward is outside 0..1.

    The tracked value is a success rate, so it lies in 0..1. It is no baseline for rewards such as
    -1 or 5.
    """
    outside_B = (batch.reward_B < 0) | (batch.reward_B > 1)
    if outside_B.any():
        reward = batch.reward_B[outside_B][0].item()
        raise UserError(
            f"a reward of {reward:g} lies outside 0 to 1, and this algorithm tracks success rates; "
            "let the environment scale its rewards to 0..1, or choose an algorithm without a "
            "tracked value"
        )


def earlier_visits(problem_B: Tensor) -> Tensor:
    """Return, for every rollout, how many earlier rollouts of the batch share its problem."""
    # Sorted once instead of compared pairwise: a batch of 4,096 rollouts has 16 million pairs.
    ordered = problem_B.sort(stable=True)
    position_B = torch.arange(len(problem_B))
    first_B = torch.ones_like(problem_B, dtype=torch.bool)
    first_B[1:] = ordered.values[1:] != ordered.values[:-1]
    start_B = torch.where(first_B, position_B, 0).cummax(0).values
    return torch.empty_like(position_B).scatter_(0, ordered.indices, position_B - start_B)
