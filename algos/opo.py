"""OPO: the baseline that minimises the gradient's variance, for exact on-policy training.

    b_g = sum over the group of (length * reward) / sum of lengths
    A_i = r_i - b_g                                         on every token

arXiv 2505.23585. A long response has a larger gradient, so its reward weighs more in the baseline.
The paper trains exactly on-policy (one update on every batch), without KL and without entropy
bonus. For that, set train.samples_per_update to train.rollouts_per_step; by default all algorithms
here share one setting.

Elsewhere: verl has the same function, in which a single rollout has baseline 0; here that is an
error.
"""

from mssr_rl.advantage import chain, subtract_length_weighted_mean, to_tokens
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Loss


@register("opo")
def opo(*, loss: Loss = Loss(kl_coef=0.0)) -> Algorithm:
    """Reward minus the mean of the group's rewards, weighted by the responses' lengths."""
    advantage = chain(subtract_length_weighted_mean(), to_tokens())
    return Algorithm(
        name="opo", advantage=advantage, loss=loss, min_group_size=2, default_group_size=8
    )
