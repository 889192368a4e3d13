"""SPO: one rollout per problem; the baseline is a tracked success rate. arXiv 2509.13232.

    v(x)   = alpha(x) / (alpha(x) + beta(x))                the tracked success rate
    A_i    = (r_i - v(x_i) - mean) / (std + 1e-8)           over the batch, on every token
    eta(x) = clip(2^(-D(x) / d_half), eta_min, eta_max)     D: drift since the last visit to x

The counts are then updated as in MVSR: v = v + (r - v) / (eta * (alpha + beta) + 1). They start
from n_init answers of the initial policy to every problem, which are charged to the budget;
prior=uniform needs no such answers. sampling=prioritised draws more often the problems that are
solved sometimes, as the authors' code does. By default all algorithms get the same problems.

Elsewhere: the authors' code (verl-recipe) measures D on the stored response of the last visit, as a
mean absolute log-ratio. It clips at 0.2 and 0.28 and has no KL. All algorithms here share one loss.
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

# Added to every weight, so that a problem that is always or never solved still comes back.
EXPLORED = 0.05


@register("spo")
def spo(
    *,
    sampling: Literal["uniform", "prioritised"] = "uniform",
    tracker: DriftTracker = DriftTracker(),
    loss: Loss = Loss(),
) -> Algorithm:
    """Reward minus a tracked success rate that forgets by the policy's drift; standardised.

    Args:
        sampling: take the problems in turn (uniform), or draw them by sqrt(v (1 - v)) + 0.05
    """
    advantage = chain(subtract_drifting_value(tracker), standardise_over_batch(), to_tokens())
    weights = undecided_first if sampling == "prioritised" else None
    return Algorithm(name="spo", advantage=advantage, loss=loss, problem_weights=weights)


def undecided_first(state: Any) -> Tensor:
    """Return the sampling weight of every training problem, sqrt(v (1 - v)) + 0.05, shape [N]."""
    beliefs = find_beliefs(state)
    assert beliefs is not None  # the first step of the chain above keeps them
    value_N = beliefs.value_N
    return (value_N * (1 - value_N)).clamp(min=0).sqrt() + EXPLORED
