"""SPO: one rollout per problem, and memory in place of a group. arXiv 2509.13232.

    v(x)   = alpha(x) / (alpha(x) + beta(x))                the tracked success rate
    A_i    = (r_i - v(x_i) - mean) / (std + 1e-8)           over the batch, on every token
    eta(x) = clip(2^(-D(x) / d_half), eta_min, eta_max)     D: drift since x was last met

The counts then move as MVSR's do: v = v + (r - v) / (eta * (alpha + beta) + 1). They start from
n_init answers of the initial policy to every problem, charged to the budget; prior=uniform saves
them. sampling=prioritised draws problems that are sometimes solved more often, as the authors' code
does; by default all arms are posed the same problems.

Elsewhere: the authors' code (verl-recipe) measures D on the stored response of the last visit, as a
mean absolute log-ratio, and clips at 0.2 and 0.28 without KL; all arms here share one loss.
"""

from typing import Any, Literal

from torch import Tensor

from mssr_rl.advantage import (
    DriftTracker,
    chain,
    find_beliefs,
    standardise_over_batch,
    subtract_drifting_value,
    to_tokens,
)
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Loss

EXPLORED = 0.05  # of every problem's weight: even a decided one comes back


@register("spo")
def spo(
    *,
    sampling: Literal["uniform", "prioritised"] = "uniform",
    tracker: DriftTracker = DriftTracker(),
    loss: Loss = Loss(),
) -> Algorithm:
    """Reward minus the problem's tracked success rate, which forgets by drift; standardised.

    Args:
        sampling: pose the problems in turn, or draw them by sqrt(v (1 - v)) + 0.05
    """
    advantage = chain(subtract_drifting_value(tracker), standardise_over_batch(), to_tokens())
    weights = undecided_first if sampling == "prioritised" else None
    return Algorithm(name="spo", advantage=advantage, loss=loss, problem_weights=weights)


def undecided_first(state: Any) -> Tensor:
    """sqrt(v (1 - v)) + 0.05 of every training problem."""
    beliefs = find_beliefs(state)
    assert beliefs is not None  # the first step of the chain above keeps them
    value_N = beliefs.value_N
    return (value_N * (1 - value_N)).clamp(min=0).sqrt() + EXPLORED
