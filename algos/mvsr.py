"""MVSR: one rollout per problem, and memory in place of a group. arXiv 2512.18215.

    v(x)  = alpha(x) / (alpha(x) + beta(x))                     the tracked success rate
    A_i   = whiten over the batch (r_i - v(x_i))                on every token of response i
    alpha(x) <- eta * alpha(x) + won,  beta(x) <- eta * beta(x) + 1 - won       after the advantages

eta follows the KL of recent updates (`mssr_rl.advantage.tracker`). The KL to the frozen initial
model, weight 0.01, is part of the method; it is in the loss, as for all arms.

These are the values of the paper's text. Its code lets eta rise with the KL to the initial model:
`mvsr_released` has it. Elsewhere: no framework has a tracked baseline but verl, in SPO's recipe.
"""

from collections.abc import Mapping
from typing import Literal

from mssr_rl.advantage import (
    Tracker,
    Transform,
    chain,
    subtract_tracked_value,
    to_tokens,
    whiten_over_batch,
)
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Loss

Normalisation = Literal["sequence", "token", "none"]
PARTS: Mapping[str, Mapping[str, object]] = {
    # A belief that nothing moves: every problem keeps prior_mean, and whitening takes it away.
    "without tracker": {
        "prior": "uniform",
        "n_init": None,
        "prior_strength": 1e9,
        "eta_min": 1.0,
        "eta_max": 1.0,
    },
    "without whitening": {"normalisation": "none"},
    "with fixed eta": {"eta_min": 0.9175, "eta_max": 0.9175, "prior_strength": 8.0},
}


@register("mvsr")
def mvsr(
    *,
    tracker: Tracker = Tracker(),
    normalisation: Normalisation = "sequence",
    loss: Loss = Loss(),
) -> Algorithm:
    """Reward minus the problem's tracked success rate, whitened.

    Args:
        normalisation: whiten with every rollout (sequence) or every token counting once, or not
    """
    advantage = tracked(tracker, normalisation)
    return Algorithm(name="mvsr", advantage=advantage, loss=loss, ablations=PARTS)


def tracked(tracker: Tracker, normalisation: Normalisation) -> Transform:
    """The advantage of MVSR, which MSSR and the ablations build on."""
    whiten = [] if normalisation == "none" else [whiten_over_batch(normalisation)]
    return chain(subtract_tracked_value(tracker), *whiten, to_tokens())
