"""MSSR: MVSR plus a bonus on the tokens the policy was unsure of. arXiv 2512.18215.

    psi   = min(|A| / gamma, lam * H)           H without gradient
    A_hat = A + psi                             token by token, after MVSR's whitening

gamma = 0.4 and lam = 2.0 are the values of the paper's text. Its code and the work the term comes
from (EA, arXiv 2506.14758) have them the other way round, gamma = 2 and lam = 0.4: a bonus five
times smaller, which never turns a penalty into a reward, as this one does where 2 H > |A|. Neither
is called wrong here; `mssr_released` has the code's. EA's own setting, with H of the policy in
training: gamma=2 lam=0.4 entropy_policy=current.
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
        gamma: the bonus is at most |A| / gamma; at 1 and above it never flips a sign
        lam: weight of the token's entropy
        entropy: full: over the vocabulary; nll: -log p; plogp: -p log p of the sampled token
        entropy_policy: rollout: of the policy that sampled, once a step; current: of the one in
            training, in every update
        normalisation: whiten with every rollout (sequence) or every token counting once, or not
    """
    parts = {"without shaping": {"algo": "mvsr"}, **PARTS}
    mvsr, shape = tracked(tracker, normalisation), shape_by_entropy(gamma, lam, entropy)
    if entropy_policy == "current":
        live = Extras(live_shaping=LiveShaping(gamma=gamma, lam=lam, entropy=entropy))
        return Algorithm(name="mssr", advantage=mvsr, loss=loss, extras=live, ablations=parts)
    advantage = chain(*mvsr.parts, shape)
    return Algorithm(name="mssr", advantage=advantage, loss=loss, ablations=parts)
