"""OPO: the baseline that minimises the gradient's variance, for exact on-policy training.

    b_g = sum over the group of (length * reward) / sum of lengths
    A_i = r_i - b_g                                         on every token

arXiv 2505.23585. A long response's gradient is longer, so its reward counts more in the baseline.
The paper trains exactly on-policy (one update on every batch), without KL and without entropy
bonus: set train.samples_per_update to train.rollouts_per_step for that; arms here share theirs.

Elsewhere: verl is the same function; a lone rollout has the baseline 0 there and is an error here.
"""

from mssr_rl.advantage import chain, subtract_length_weighted_mean, to_tokens
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Loss


@register("opo")
def opo(*, loss: Loss = Loss(kl_coef=0.0)) -> Algorithm:
    """Reward minus the mean of the group's rewards, weighed by the responses' lengths."""
    advantage = chain(subtract_length_weighted_mean(), to_tokens())
    return Algorithm(
        name="opo", advantage=advantage, loss=loss, min_group_size=2, default_group_size=8
    )
