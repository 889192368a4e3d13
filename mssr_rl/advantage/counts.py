"""Discounted counts of right and wrong answers, one pair a problem: what trackers share. Pure.

    alpha <- eta * alpha + won,  beta <- eta * beta + 1 - won        once per visit, in batch order

Shapes: B rollouts, N training problems, K initial rollouts of each problem.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage.transform import Batch


class Counts(NamedTuple):
    """Of N problems; float64."""

    alpha_N: Tensor  # discounted successes
    beta_N: Tensor  # discounted failures


def value(alpha: Tensor, beta: Tensor) -> Tensor:
    """The mean of Beta(alpha, beta): the expected success rate."""
    return alpha / (alpha + beta)


def prior(num_problems: int, strength: float, mean: float) -> Counts:
    """The same belief about every problem: a success rate `mean` worth `strength` outcomes."""
    strength_N = torch.full((num_problems,), strength, dtype=torch.float64)
    return Counts(strength_N * mean, strength_N * (1 - mean))


def from_rollouts(reward_NK: Tensor, strength: float, smoothing: float = 0.0) -> Counts:
    """A belief worth `strength` outcomes, as right as K initial rollouts were.

    alpha = strength * (sum r + smoothing) / (K + 2 * smoothing): MSSR smooths by 0, SPO's code by a
    half, so that nothing is taken for certain. A reward that is NaN is no answer.
    """
    right_N = reward_NK.to(torch.float64).nansum(1) + smoothing
    answers_N = (~reward_NK.isnan()).sum(1)
    alpha_N = strength * right_N / (answers_N + 2 * smoothing)
    return Counts(alpha_N, strength - alpha_N)


def learnt(before: Counts, reward_NK: Tensor, found: Counts) -> Counts:
    """What was `found` in initial rollouts; of a problem none of which has a reward, as before."""
    some_N = (~reward_NK.isnan()).any(1)
    pairs = zip(found, before, strict=True)
    return Counts(*(torch.where(some_N, new, old) for new, old in pairs))


def counted(old: Counts, batch: Batch, eta_B: Tensor) -> Counts:
    """The counts after the batch; a problem k times in it is counted k times."""
    alpha_N, beta_N = old.alpha_N.clone(), old.beta_N.clone()
    won_B = (batch.reward_B > 0.5).to(alpha_N.dtype)
    visit_B = earlier_visits(batch.problem_B)
    for visit in range(int(visit_B.max()) + 1 if len(visit_B) else 0):
        now_B = visit_B == visit  # no problem twice, so the whole round is one assignment
        row, won, eta = batch.problem_B[now_B], won_B[now_B], eta_B[now_B]
        alpha_N[row] = eta * alpha_N[row] + won
        beta_N[row] = eta * beta_N[row] + (1 - won)
    return Counts(alpha_N, beta_N)


def earlier_visits(problem_B: Tensor) -> Tensor:
    """For every rollout, how many before it in the batch answer the same problem."""
    ordered = problem_B.sort(stable=True)
    position_B = torch.arange(len(problem_B))
    first_B = torch.ones_like(problem_B, dtype=torch.bool)
    first_B[1:] = ordered.values[1:] != ordered.values[:-1]
    start_B = torch.where(first_B, position_B, 0).cummax(0).values
    return torch.empty_like(position_B).scatter_(0, ordered.indices, position_B - start_B)
