"""SPO++: SPO whose advantages are centred over tokens, and whose memory fades with the policy.

    v(x)  = alpha(x) / (alpha(x) + beta(x))                     evidence, and what is left of it
    A_i   = (r_i - v(x_i) - mu) / (sigma + 1e-8)                mu, sigma over tokens, n - 1
    alpha(x) = sum of retention^k * r, beta(x) = sum of retention^k * (1 - r)

k is how many steps ago an outcome was sampled: all evidence fades with every step, not with the
visits of its problem. arXiv 2608.24870. Whitening per trajectory leaves a token-mean loss off
centre by Cov(length, A) / mean length; this one is centred where the loss is. Dual clip 2, no KL.

The paper's asynchronous part (a baseline frozen when a request is sent) holds by itself here, where
a step's rollouts are all of one policy. Clip bounds are not in its text; SPO's recipe has 0.2 and
0.28. sampling=prioritised draws problems by sqrt(v (1 - v)) + 0.05, as the paper does; by default
all arms are posed the same problems. The first evidence is of initial answers, charged to the
budget; prior=uniform saves them.
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
        sampling: pose the problems in turn, or draw them by sqrt(v (1 - v)) + 0.05
    """
    standardise = standardise_over_batch(measure="token")
    return Algorithm(
        name="spo_pp",
        advantage=chain(subtract_fading_value(tracker), standardise, to_tokens()),
        loss=loss,
        problem_weights=undecided_first if sampling == "prioritised" else None,
    )
