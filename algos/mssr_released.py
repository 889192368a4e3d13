"""MSSR as its authors' code computes it. arXiv 2512.18215, code ruiiu/MSSR.

    psi   = min(|A| / gamma, lam * H)       gamma = 2 and lam = 0.4; the code says kappa and alpha
    A_hat = A + psi                         H = -p log p of the sampled token, at most 1/e

This is the function of `mssr` with the tracker of `mvsr_released`. The bonus makes penalties
smaller and never turns one into a reward. It is five times smaller than in the paper's text.
"""

from dataclasses import replace
from typing import Literal

from mssr_rl.advantage import Tracker
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.mssr import mssr
from mssr_rl.algos.mvsr import Normalisation
from mssr_rl.algos.mvsr_released import INITIAL, TRACKER
from mssr_rl.loss import Loss


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
        gamma: the bonus is at most |A| / gamma; at 1 and above it never changes a sign
        lam: weight of the token's entropy
        entropy: full: over the vocabulary; nll: -log p; plogp: -p log p of the sampled token
        entropy_policy: rollout: of the policy that sampled, computed once a step; current: of the
            policy in training, computed in every update
        normalisation: whiten over rollouts (sequence) or over tokens (token), or not at all (none)
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
    parts = {**made.ablations, "without shaping": {"algo": "mvsr_released"}, **INITIAL}
    return replace(made, name="mssr_released", ablations=parts)
