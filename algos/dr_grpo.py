"""Dr. GRPO: GRPO without the two terms that its authors found biased. arXiv 2503.20783.

    A_i = r_i - mean_g                      on every token; no standard deviation
    loss = mean over responses of (sum of token losses) / length_constant

GRPO divides by the length of each response, which favours long wrong answers. Here the divisor is
a constant: the longest response that the recipe allows. There is no KL in the loss.

Elsewhere: TRL divides by its max_completion_length. verl divides by the padded width of the
micro-batch by default. OpenRLHF has the advantage but no constant-length loss; EasyR1 has neither.
"""

from mssr_rl.advantage import chain, subtract_group_mean, to_tokens
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Loss


@register("dr_grpo")
def dr_grpo(*, loss: Loss = Loss(kl_coef=0.0, aggregate="seq-mean-token-sum-norm")) -> Algorithm:
    """Reward minus the group's mean; every token weighs the same, whatever the length."""
    advantage = chain(subtract_group_mean(), to_tokens())
    return Algorithm(
        name="dr_grpo", advantage=advantage, loss=loss, min_group_size=2, default_group_size=8
    )
