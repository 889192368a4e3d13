"""The control without memory: a rollout against the mean of its batch.

    A_i = r_i - mean over the B rollouts        on every token

No group, no whitening: what a value tracker adds shows beside it. OpenRLHF's `flash_reinforce` has
this advantage.
"""

from mssr_rl.advantage import chain, subtract_batch_mean, to_tokens
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Loss


@register("batch_mean")
def batch_mean(*, loss: Loss = Loss()) -> Algorithm:
    """Reward minus the batch's mean."""
    advantage = chain(subtract_batch_mean(), to_tokens())
    return Algorithm(name="batch_mean", advantage=advantage, loss=loss)
