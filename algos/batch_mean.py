"""Batch mean: the control without a value tracker. The baseline is the mean reward of the batch.

    A_i = r_i - mean over the B rollouts        on every token

There is no group and no whitening, so a comparison with it shows what a value tracker adds.
OpenRLHF's `flash_reinforce` has this advantage.
"""

from mssr_rl.advantage import chain, subtract_batch_mean, to_tokens
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Loss


@register("batch_mean")
def batch_mean(*, loss: Loss = Loss()) -> Algorithm:
    """Reward minus the batch's mean."""
    advantage = chain(subtract_batch_mean(), to_tokens())
    return Algorithm(name="batch_mean", advantage=advantage, loss=loss)
