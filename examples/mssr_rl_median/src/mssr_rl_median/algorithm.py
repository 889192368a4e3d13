"""Reward minus the median of the problem's rewards, shrunk towards 0 by `caution`.

    A_i = (1 - caution) * (r_i - median_g)      on every token of response i

Shapes: B rollouts, problem by problem; P problems with G rollouts each.
"""

from torch import Tensor

from mssr_rl import register_algorithm
from mssr_rl.advantage import Batch, Transform, chain, stateless, to_tokens
from mssr_rl.algos import Algorithm
from mssr_rl.loss import Loss


def subtract_group_median(caution: float) -> Transform:
    """Return an advantage step that subtracts the group's median.

    The step is pure: it reads the batch and writes to nothing.
    """

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        a_PG = a_B.view(-1, batch.group_size)
        return (1 - caution) * (a_PG - a_PG.median(1, keepdim=True).values).flatten()

    return stateless("subtract_group_median", "rollout", "rollout", f)


@register_algorithm("median")
def median(*, caution: float = 0.0, loss: Loss = Loss()) -> Algorithm:
    """Reward minus the group's median.

    Args:
        caution: the share of every advantage that is removed, between 0 and 1
    """
    return Algorithm(
        name="median",
        advantage=chain(subtract_group_median(caution), to_tokens()),
        loss=loss,
        min_group_size=2,
        default_group_size=8,
    )
