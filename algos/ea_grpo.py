"""EA on GRPO: an entropy bonus on the advantage of every token. arXiv 2506.14758.

    psi   = min(|A| / gamma, lam * H)           H without gradient
    A_hat = A + psi                             token by token, A is GRPO's

"Reasoning with Exploration", the work that MSSR's bonus comes from. The values are its own for
GRPO: gamma = 2 (its kappa) and lam = 0.4 (its alpha). gamma above 1 keeps the sign of every
advantage. H is that of the policy in training and is computed in every update;
entropy_policy=rollout computes it once. As in the paper's run, the clip is 0.2 and 0.28, without
KL.

Elsewhere: its authors' code is a fork of verl. `mssr` has the same bonus on tracked values.
"""

from typing import Literal

from mssr_rl.advantage import chain, shape_by_entropy
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.grpo import grpo
from mssr_rl.loss import Loss
from mssr_rl.objective import Extras, LiveShaping


@register("ea_grpo")
def ea_grpo(
    *,
    gamma: float = 2.0,
    lam: float = 0.4,
    entropy: Literal["full", "nll", "plogp"] = "full",
    entropy_policy: Literal["rollout", "current"] = "current",
    eps: float = 1e-6,
    std: Literal["sample", "population"] = "sample",
    loss: Loss = Loss(clip_high=0.28, kl_coef=0.0),
) -> Algorithm:
    """GRPO with an entropy bonus on every token.

    Args:
        gamma: the bonus is at most |A| / gamma; at 1 and above it never changes a sign
        lam: weight of the token's entropy
        entropy: full: over the vocabulary; nll: -log p; plogp: -p log p of the sampled token
        entropy_policy: rollout: of the policy that sampled, computed once a step; current: of the
            policy in training, computed in every update
        eps: added to the standard deviation
        std: sample divides by n - 1, population by n
    """
    plain = grpo(eps=eps, std=std).advantage
    shape = shape_by_entropy(gamma, lam, entropy)
    live = entropy_policy == "current"
    shaping = LiveShaping(gamma=gamma, lam=lam, entropy=entropy) if live else None
    return Algorithm(
        name="ea_grpo",
        advantage=plain if live else chain(*plain.parts, shape),
        loss=loss,
        min_group_size=2,
        default_group_size=8,
        extras=Extras(live_shaping=shaping),
        ablations={"without shaping": {"algo": "grpo"}},
    )
