"""DAPO: GRPO on groups with different rewards, a higher upper clip, a penalty on long responses.

    r_i  <- r_i + min(-(length_i - (limit - buffer)) / buffer * factor, 0)
    A_i   = (r_i - mean_g) / (std_g + eps)                                  on every token

arXiv 2503.14476. A group whose verified rewards are all equal is dropped, and another is generated
in its place. Every generated rollout is charged to the budget, the dropped ones included. The loss
has no KL, clips the ratio at 0.8 and 1.28, and bounds the loss of a wrong token at 10 |A|.

The paper's rewards are +1 and -1. Rewards here are 0 and 1, so the same penalty weighs twice as
much. EasyR1 keeps groups with a mean reward between 0.01 and 0.99, for up to 20 batches.
"""

from typing import Literal

from torch import Tensor

from mssr_rl.advantage import (
    chain,
    decided,
    divide_by_group_std,
    penalise_overlong,
    subtract_group_mean,
    to_tokens,
)
from mssr_rl.algos.algorithm import Algorithm, Resampling, register
from mssr_rl.loss import Loss
from mssr_rl.options import require


@register("dapo")
def dapo(
    *,
    eps: float = 1e-6,
    std: Literal["sample", "population"] = "sample",
    dynamic_sampling: bool = True,
    max_resample: int = 10,
    overlong_buffer: int | None = None,
    overlong_factor: float = 1.0,
    loss: Loss = Loss(clip_high=0.28, dual_clip=10.0, kl_coef=0.0),
) -> Algorithm:
    """GRPO's advantage over groups with different rewards, with a penalty near the length limit.

    Args:
        eps: added to the standard deviation
        std: sample divides by n - 1, population by n
        dynamic_sampling: drop groups whose answers are all right or all wrong, and generate others
        max_resample: most generation batches in a step; then the step trains on the groups it has
        overlong_buffer: tokens before the limit in which the penalty grows; null: limit / 5
        overlong_factor: the penalty at the limit
    """
    says = "left at 10 where dynamic_sampling=false: nothing is resampled"
    require(dynamic_sampling or max_resample == 10, "max_resample", max_resample, says)
    advantage = chain(
        penalise_overlong(overlong_buffer, overlong_factor),
        subtract_group_mean(),
        divide_by_group_std(eps, std),
        to_tokens(),
    )
    return Algorithm(
        name="dapo",
        advantage=advantage,
        loss=loss,
        min_group_size=2,
        default_group_size=8,
        resampling=Resampling(undecided, max_resample) if dynamic_sampling else None,
    )


def undecided(reward_PG: Tensor) -> Tensor:
    """Return which groups hold different rewards: rewards [P, G] -> bool [P]."""
    return ~decided(reward_PG)
