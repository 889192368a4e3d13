"""Two competitors of MSSR from its own paper: MVSR with an extra term in the loss.

The term takes the place of MSSR's shaped advantage.

    mvsr_entropy_loss   loss - entropy_coef * token-mean(H)
    mvsr_cross_modal    loss + text_kl_coef * token-mean(KL(pi(.|text, image), pi(.|text)))

arXiv 2512.18215. Both terms have a gradient here, as the paper intends. The authors' code differs:

* For H it takes -p log p of the sampled token (entropy=plogp). Its gradient lowers p only where p
  is above 1/e, and raises it below.
* Its cross-modal term never reaches the loss.

Here the text-only probabilities are fixed: once a step, without gradient, the rollout policy scores
the same prompt without the picture. The estimator k2 has the gradient of this KL.
"""

from dataclasses import replace
from typing import Literal

from mssr_rl.advantage import Tracker
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.mvsr import Normalisation, mvsr
from mssr_rl.loss import Estimator, Loss
from mssr_rl.metric_names import TEXT_KL
from mssr_rl.objective import Extras, ViewTerm
from mssr_rl.options import require
from mssr_rl.views import without_pictures


@register("mvsr_entropy_loss")
def mvsr_entropy_loss(
    *,
    entropy: Literal["full", "plogp"] = "full",
    tracker: Tracker = Tracker(),
    normalisation: Normalisation = "sequence",
    loss: Loss = Loss(entropy_coef=0.01),
) -> Algorithm:
    """MVSR with an entropy bonus in the loss.

    Args:
        entropy: full: over the vocabulary; plogp: -p log p of the sampled token
        normalisation: whiten over rollouts (sequence) or over tokens (token), or not at all (none)
    """
    made = mvsr(tracker=tracker, normalisation=normalisation, loss=loss)
    return replace(made, name="mvsr_entropy_loss", extras=Extras(entropy=entropy))


@register("mvsr_cross_modal")
def mvsr_cross_modal(
    *,
    text_kl_coef: float = 0.01,
    text_kl_estimator: Estimator = "k2",
    tracker: Tracker = Tracker(),
    normalisation: Normalisation = "sequence",
    loss: Loss = Loss(),
) -> Algorithm:
    """MVSR with a KL that keeps the policy near its own output without the picture.

    Args:
        text_kl_coef: weight of the KL to the text-only branch
        text_kl_estimator: k1, k2 or k3; k1 has no gradient on fresh rollouts
        normalisation: whiten over rollouts (sequence) or over tokens (token), or not at all (none)
    """
    made = mvsr(tracker=tracker, normalisation=normalisation, loss=loss)
    require(text_kl_coef >= 0, "text_kl_coef", text_kl_coef, "at least 0")
    term = ViewTerm(
        metric=TEXT_KL,
        says="without the picture",
        change=without_pictures,
        coef=text_kl_coef,
        estimator=text_kl_estimator,
    )
    extras = Extras(views=(term,) if text_kl_coef else ())
    return replace(made, name="mvsr_cross_modal", extras=extras)
