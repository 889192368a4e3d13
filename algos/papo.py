"""PAPO: a reward for using the picture. Perception-aware policy optimisation, arXiv 2507.06448.

    loss - coef * token-mean(KL(pi(.|text, image), pi(.|text, masked image)))
         + nll_coef * token-mean(-log p)

Every patch of 14 pixels is masked with probability 0.6, anew in every step. A policy whose output
does not change when the picture is masked did not use it. The second term is the paper's entropy
loss. Without it the first term, which has no bound, makes entropy explode. The advantage is GRPO's.

Elsewhere: the authors' code (a fork of EasyR1, fb63bf4) gives the masked side no gradient, as
gradient=policy does here, and calls that as good as a gradient through both; its entropy of the
masked side is then a constant. Its two weights differ between scripts: 0.01 to 0.02, and 0.03.
"""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Literal

from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.grpo import grpo
from mssr_rl.loss import Estimator, Loss
from mssr_rl.metric_names import PERCEPTION_KL
from mssr_rl.objective import Extras, ViewTerm
from mssr_rl.options import require
from mssr_rl.views import masked_patches


@register("papo")
def papo(
    *,
    perception_coef: float = 0.01,
    nll_coef: float = 0.03,
    masked: float = 0.6,
    patch: int = 14,
    estimator: Estimator = "k3",
    gradient: Literal["policy", "view", "both"] = "policy",
    loss: Loss = Loss(),
) -> Algorithm:
    """GRPO, and a reward for tokens that the masked picture would not have given.

    Args:
        perception_coef: weight of the KL from the policy with the masked picture
        nll_coef: weight of the sampled tokens' -log p
        masked: probability that a patch is black
        patch: side of a patch in pixels
        estimator: estimator of that KL: k1, k2 or k3
        gradient: policy: no gradient through the masked side; view: through that side only; both
    """
    require(perception_coef > 0, "perception_coef", perception_coef, "above 0")
    term = ViewTerm(
        metric=PERCEPTION_KL,
        says="with the masked picture",
        change=partial(masked_patches, share=masked, patch=patch),
        coef=-perception_coef,
        estimator=estimator,
        gradient=gradient,
    )
    extras = Extras(views=(term,), nll_coef=nll_coef)
    parts: Mapping[str, Mapping[str, object]] = {
        "without perception": {"algo": "grpo"},
        "without entropy loss": {"nll_coef": 0.0},
    }
    return replace(grpo(), name="papo", loss=loss, extras=extras, ablations=parts)
