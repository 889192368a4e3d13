"""GRPO: the baseline is the mean reward of the group. arXiv 2402.03300.

    A_i = (r_i - mean_g) / (std_g + eps)        on every token of response i

mean_g and std_g (Bessel, n - 1) are taken over the G rollouts of the same problem. If all G rewards
are equal, A = 0: the group teaches nothing.

Elsewhere: eps is 1e-6 in EasyR1 and verl, 1e-4 in TRL, 1e-9 in OpenRLHF. verl accepts G = 1 and
gives it A = r / (1 + eps); here G = 1 is an error. The paper's own run has a KL weight of 0.04 and
averages per response first. All algorithms here share one loss instead (`mssr_rl.loss`).
"""

from typing import Literal

from mssr_rl.advantage import chain, divide_by_group_std, subtract_group_mean, to_tokens
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Loss


@register("grpo")
def grpo(
    *,
    eps: float = 1e-6,
    std: Literal["sample", "population"] = "sample",
    loss: Loss = Loss(),
) -> Algorithm:
    """Reward minus the group's mean, divided by the group's standard deviation.

    Args:
        eps: added to the standard deviation
        std: sample divides by n - 1, population by n
    """
    advantage = chain(subtract_group_mean(), divide_by_group_std(eps, std), to_tokens())
    return Algorithm(
        name="grpo", advantage=advantage, loss=loss, min_group_size=2, default_group_size=8
    )
