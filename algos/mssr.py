"""MSSR: MVSR plus a bonus on tokens of high entropy. arXiv 2512.18215.

    psi   = min(|A| / gamma, lam * H)           H without gradient
    A_hat = A + psi                             token by token, after MVSR's whitening

gamma = 0.4 and lam = 2.0 are the values in the paper's text. The authors' code has them the other
way round, gamma = 2 and lam = 0.4, as has EA (arXiv 2506.14758), the work that the term comes from.
The code's bonus is five times smaller and never turns a penalty into a reward. The text's bonus
does so where 2 H > |A|. We do not say which is wrong; `mssr_released` has the code's values. EA's
own setting, with H of the policy in training, is gamma=2 lam=0.4 entropy_policy=current.
"""

from typing import Literal

from mssr_rl.advantage import Tracker, chain, shape_by_entropy
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.mvsr import PARTS, Normalisation, tracked
from mssr_rl.loss import Loss
from mssr_rl.objective import Extras, LiveShaping


@register("mssr")
def mssr(
    *,
    gamma: float = 0.4,
    lam: float = 2.0,
    entropy: Literal["full", "nll", "plogp"] = "full",
    entropy_policy: Literal["rollout", "current"] = "rollout",
    tracker: Tracker = Tracker(),
    normalisation: Normalisation = "sequence",
    loss: Loss = Loss(),
) -> Algorithm:
    """MVSR with an entropy bonus on every token.

    Args:
        gamma: the bonus is at most |A| / gamma; at 1 and above it never changes a sign
        lam: weight of the token's entropy
        entropy: full: over the vocabulary; nll: -log p; plogp: -p log p of the sampled token
        entropy_policy: rollout: of the policy that sampled, computed once a step; current: of the
            policy in training, computed in every update
        normalisation: whiten over rollouts (sequence) or over tokens (token), or not at all (none)
    """
    parts = {"without shaping": {"algo": "mvsr"}, **PARTS}
    mvsr, shape = tracked(tracker, normalisation), shape_by_entropy(gamma, lam, entropy)
    if entropy_policy == "current":
        live = Extras(live_shaping=LiveShaping(gamma=gamma, lam=lam, entropy=entropy))
        return Algorithm(name="mssr", advantage=mvsr, loss=loss, extras=live, ablations=parts)
    advantage = chain(*mvsr.parts, shape)
    return Algorithm(name="mssr", advantage=advantage, loss=loss, ablations=parts)
