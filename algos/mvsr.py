"""MVSR: one rollout per problem; the baseline is a tracked success rate. arXiv 2512.18215.

    v(x)  = alpha(x) / (alpha(x) + beta(x))                     the tracked success rate
    A_i   = whiten over the batch (r_i - v(x_i))                on every token of response i
    alpha(x) <- eta * alpha(x) + won,  beta(x) <- eta * beta(x) + 1 - won       after the advantages

eta depends on the KL of recent updates (`mssr_rl.advantage.tracker`). The KL to the frozen initial
model, weight 0.01, is part of the method. It is in the loss, as for all algorithms here.

These are the values in the paper's text. In the authors' code eta rises with the KL to the initial
model: see `mvsr_released`. Elsewhere: verl tracks a value per problem in its recipe for SPO,
prime-rl an average of all rewards (`rae`).
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
    # No reward moves a prior of this strength. Every problem keeps prior_mean as its baseline, and
    # whitening then subtracts that constant.
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
        normalisation: whiten over rollouts (sequence) or over tokens (token), or not at all (none)
    """
    advantage = tracked(tracker, normalisation)
    return Algorithm(name="mvsr", advantage=advantage, loss=loss, ablations=PARTS)


def tracked(tracker: Tracker, normalisation: Normalisation) -> Transform:
    """Return the advantage of MVSR, which MSSR and the ablations extend."""
    whiten = [] if normalisation == "none" else [whiten_over_batch(normalisation)]
    return chain(subtract_tracked_value(tracker), *whiten, to_tokens())
