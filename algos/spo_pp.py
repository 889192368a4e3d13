"""SPO++: SPO with advantages centred over tokens, and evidence that fades with the policy's steps.

    v(x)  = alpha(x) / (alpha(x) + beta(x))                     from evidence that fades
    A_i   = (r_i - v(x_i) - mu) / (sigma + 1e-8)                mu, sigma over tokens, n - 1
    alpha(x) = sum of retention^k * r, beta(x) = sum of retention^k * (1 - r)

k is the number of steps since an outcome was sampled. All evidence fades with every step, not only
when its problem is visited. arXiv 2608.24870. Whitening over responses leaves a token-mean loss
off centre by Cov(length, A) / mean length; here the centre is that of the loss. Dual clip 2, no KL.

The paper's asynchronous part (a baseline that is frozen when a request is sent) needs nothing here,
because all rollouts of a step are from one policy. Clip bounds are not in its text; SPO's recipe
has 0.2 and 0.28. sampling=prioritised draws problems by sqrt(v (1 - v)) + 0.05, as the paper does.
By default all algorithms get the same problems. The first evidence is from initial answers, which
are charged to the budget; prior=uniform needs none.
"""

from typing import Literal

from mssr_rl.advantage import (
    EventTracker,
    chain,
    standardise_over_batch,
    subtract_fading_value,
    to_tokens,
)
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.spo import undecided_first
from mssr_rl.loss import Loss


@register("spo_pp")
def spo_pp(
    *,
    sampling: Literal["uniform", "prioritised"] = "uniform",
    tracker: EventTracker = EventTracker(),
    loss: Loss = Loss(clip_high=0.28, dual_clip=2.0, kl_coef=0.0),
) -> Algorithm:
    """Reward minus the problem's fading success rate, standardised over the tokens of the batch.

    Args:
        sampling: take the problems in turn (uniform), or draw them by sqrt(v (1 - v)) + 0.05
    """
    standardise = standardise_over_batch(measure="token")
    return Algorithm(
        name="spo_pp",
        advantage=chain(subtract_fading_value(tracker), standardise, to_tokens()),
        loss=loss,
        problem_weights=undecided_first if sampling == "prioritised" else None,
    )
