"""PAPO from outside: a term between the policy and itself with the picture masked."""

from dataclasses import replace
from functools import partial

from mssr_rl import register_algorithm
from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.loss import Loss
from mssr_rl.objective import Extras, ViewTerm
from mssr_rl.views import masked_patches


@register_algorithm("outside_papo")
def outside_papo(
    *, perception_coef: float = 0.01, nll_coef: float = 0.03, loss: Loss = Loss()
) -> Algorithm:
    """GRPO, paid for needing the picture.

    Args:
        perception_coef: weight of the KL from the policy that sees a masked picture
        nll_coef: price of the sampled tokens' -log p
    """
    term = ViewTerm(
        metric="actor/perception_kl",
        says="with the masked picture",
        change=partial(masked_patches, share=0.6),
        coef=-perception_coef,
    )
    extras = Extras(views=(term,), nll_coef=nll_coef)
    return replace(algorithms.make("grpo"), name="outside_papo", loss=loss, extras=extras)
