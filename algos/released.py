"""MVSR and MSSR as their authors' code computes them. arXiv 2512.18215, code ruiiu/MSSR.

The same functions as `mvsr` and `mssr` with other values:

    eta rises with the KL up to its target and drops just above it      eta_schedule=released
    that KL is to the frozen initial model, over 10 steps               kl_source=reference
    one initial answer to every problem, worth eight                    prior=rollouts, n_init=1
    gamma = 2, lam = 0.4 (its kappa and alpha), and -p log p for H      MSSR

Two departures even here: the KL is summed over response tokens only (the code's sum is unmasked and
can pick up a padding term), and checkpoints hold the tracker (the code's resumes with a fresh one).
"""

from dataclasses import replace
from typing import Literal

from mssr_rl.advantage import Tracker
from mssr_rl.algos.base import Algorithm, register
from mssr_rl.algos.mssr import mssr
from mssr_rl.algos.mvsr import Normalisation, mvsr
from mssr_rl.loss import Loss

TRACKER = Tracker(
    eta_schedule="released", kl_source="reference", kl_window=10, prior="rollouts", n_init=1
)


@register("mvsr_released")
def mvsr_released(
    *,
    tracker: Tracker = TRACKER,
    normalisation: Normalisation = "sequence",
    loss: Loss = Loss(),
) -> Algorithm:
    """MVSR as its authors' code computes it.

    Args:
        normalisation: whiten with every rollout (sequence) or every token counting once, or not
    """
    made = mvsr(tracker=tracker, normalisation=normalisation, loss=loss)
    return replace(made, name="mvsr_released")


@register("mssr_released")
def mssr_released(
    *,
    gamma: float = 2.0,
    lam: float = 0.4,
    entropy: Literal["full", "nll", "plogp"] = "plogp",
    entropy_policy: Literal["rollout", "current"] = "rollout",
    tracker: Tracker = TRACKER,
    normalisation: Normalisation = "sequence",
    loss: Loss = Loss(),
) -> Algorithm:
    """MSSR as its authors' code computes it.

    Args:
        gamma: the bonus is at most |A| / gamma; at 1 and above it never flips a sign
        lam: weight of the token's entropy
        entropy: full: over the vocabulary; nll: -log p; plogp: -p log p of the sampled token
        entropy_policy: rollout: of the policy that sampled, once a step; current: of the one in
            training, in every update
        normalisation: whiten with every rollout (sequence) or every token counting once, or not
    """
    made = mssr(
        gamma=gamma,
        lam=lam,
        entropy=entropy,
        entropy_policy=entropy_policy,
        tracker=tracker,
        normalisation=normalisation,
        loss=loss,
    )
    return replace(made, name="mssr_released")
