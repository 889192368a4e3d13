"""RLOO: REINFORCE with the leave-one-out mean as baseline. arXiv 2402.14740.

    A_i = r_i - (sum_g r - r_i) / (n - 1) = n / (n - 1) * (r_i - mean_g)        on every token

The estimate is unbiased, because a rollout's own reward is not in its baseline. There is no
standard deviation. With kl_in=reward the KL of the response, kl_coef * sum_t (lp_old - lp_ref), is
subtracted from r_i first.

Elsewhere: TRL subtracts the KL in this way (with 0.05) and takes one ratio per sequence
(`ratio=sequence`). OpenRLHF subtracts it after the baseline, per token. By default the KL is in the
loss here and the ratio is per token, as for all algorithms.
"""

from typing import Literal

from mssr_rl.advantage import (
    chain,
    subtract_kl_of_response,
    subtract_leave_one_out_mean,
    to_tokens,
)
from mssr_rl.algos.algorithm import Algorithm, register, without_kl
from mssr_rl.loss import Loss


@register("rloo")
def rloo(*, kl_in: Literal["loss", "reward"] = "loss", loss: Loss = Loss()) -> Algorithm:
    """Reward minus the mean reward of the problem's other rollouts.

    Args:
        kl_in: where the KL to the frozen model goes: a term of the loss, or a cost in the reward
    """
    steps = [subtract_leave_one_out_mean(), to_tokens()]
    if kl_in == "reward":
        steps, loss = [subtract_kl_of_response(loss.kl_coef), *steps], without_kl(loss)
    return Algorithm(
        name="rloo", advantage=chain(*steps), loss=loss, min_group_size=2, default_group_size=8
    )
