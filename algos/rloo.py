"""RLOO: REINFORCE with the leave-one-out mean as baseline. arXiv 2402.14740.

    A_i = r_i - (sum_g r - r_i) / (n - 1) = n / (n - 1) * (r_i - mean_g)        on every token

Unbiased, because a rollout is no part of its own baseline; no standard deviation.

Elsewhere: TRL takes one ratio per sequence and subtracts the KL from the reward before the baseline
(OpenRLHF after it, per token); here the KL is in the loss and the ratio per token, as for all arms.
"""

from mssr_rl.advantage import chain, subtract_leave_one_out_mean, to_tokens
from mssr_rl.algos.base import Algorithm, register
from mssr_rl.loss import Loss


@register("rloo")
def rloo(*, loss: Loss = Loss()) -> Algorithm:
    """Reward minus the mean of the problem's other rewards."""
    advantage = chain(subtract_leave_one_out_mean(), to_tokens())
    return Algorithm(
        name="rloo", advantage=advantage, loss=loss, min_group_size=2, default_group_size=8
    )
