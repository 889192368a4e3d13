"""RAE: the baseline is an exponential moving average of all rewards. SPIRAL, arXiv 2506.24119.

    A_i = r_i - b                               on every token
    b  <- decay * b + (1 - decay) * r_i         after each rollout, from 0

It was made for self-play, where every role has its own average. With one role it is REINFORCE with
the field's oldest baseline, which prime-rl has for groups of one. The average changes with every
rollout, so the order of a batch matters (moves=rollout, as there). With moves=batch, a whole batch
is compared with the average before it.

Elsewhere: prime-rl keeps the average in memory, and a restart begins at 0. Here checkpoints hold
it.
"""

from typing import Literal

from mssr_rl.advantage import chain, subtract_moving_average, to_tokens
from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.loss import Loss


@register("rae")
def rae(
    *,
    decay: float = 0.95,
    moves: Literal["rollout", "batch"] = "rollout",
    loss: Loss = Loss(),
) -> Algorithm:
    """Reward minus a moving average of all rewards so far.

    Args:
        decay: share of the average that remains when a reward comes in
        moves: rollout: the average changes within a batch, in order; batch: only between batches
    """
    advantage = chain(subtract_moving_average(decay, moves), to_tokens())
    return Algorithm(name="rae", advantage=advantage, loss=loss)
