"""RAE: an exponential moving average of all rewards as the baseline. SPIRAL, arXiv 2506.24119.

    A_i = r_i - b                               on every token
    b  <- decay * b + (1 - decay) * r_i         after each rollout, from 0

Made for self-play, where every role has its own average; with one role it is REINFORCE with the
field's oldest baseline, which prime-rl has for groups of one. The average moves with every rollout,
so the order of a batch matters (moves=rollout, as there); moves=batch holds a whole batch against
the average before it.

Elsewhere: prime-rl keeps the average in memory, and a restart begins at 0; here checkpoints hold
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
        decay: what the average keeps of itself when a reward comes in
        moves: rollout: the average moves within a batch, in order; batch: only between batches
    """
    advantage = chain(subtract_moving_average(decay, moves), to_tokens())
    return Algorithm(name="rae", advantage=advantage, loss=loss)
