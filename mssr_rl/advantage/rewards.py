"""Steps that change the reward before a baseline is subtracted: length penalty, KL penalty.

They come first in a chain. Algorithms without these KL steps have the KL in their loss
(`mssr_rl.loss`).

Shapes: B rollouts, T response tokens.
"""

import torch
from torch import Tensor

from mssr_rl.advantage.transform import Batch, Transform, stateless
from mssr_rl.errors import UserError
from mssr_rl.loss import kl
from mssr_rl.options import require


def penalise_overlong(buffer: int | None, factor: float) -> Transform:
    """Return a step that adds DAPO's soft overlong penalty to the reward.

    The penalty is min(-(length - (limit - buffer)) / buffer * factor, 0). limit is `response_limit`
    of the batch. If it is None, as in a recorded batch, there is no penalty. buffer=None means a
    fifth of the limit. Source: arXiv 2503.14476.
    """
    require(buffer is None or buffer >= 1, "overlong_buffer", buffer, "at least 1, or null")
    require(factor > 0, "overlong_factor", factor, "above 0")

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        if batch.response_limit is None:
            return a_B
        # DAPO's 4,096 tokens of buffer for 20,480 of response are a fifth; at least one token, so
        # that a limit below five does not divide by 0.
        room = buffer or max(batch.response_limit // 5, 1)
        over_B = batch.mask_BT.sum(1).to(torch.float64) - (batch.response_limit - room)
        return a_B + (-over_B / room * factor).clamp(max=0)

    return stateless("penalise_overlong", "rollout", "rollout", f)


def subtract_kl_of_response(coef: float) -> Transform:
    """Return a step that subtracts the KL of the whole response, as TRL's RLOO does.

    The result is r - coef * sum_t (lp_old - lp_ref).
    """

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        return a_B - coef * _k1(batch).sum(1)

    return stateless("subtract_kl_of_response", "rollout", "rollout", f)


def subtract_kl_of_token(coef: float) -> Transform:
    """Return a step that subtracts the KL of each token, as the paper of REINFORCE++ does.

    The result is R_t - coef * (lp_old - lp_ref).
    """

    def f(a_BT: Tensor, batch: Batch) -> Tensor:
        return a_BT - coef * _k1(batch)

    return stateless("subtract_kl_of_token", "token", "token", f)


def _k1(batch: Batch) -> Tensor:
    """Return lp_old - lp_ref per token, float64 [B, T]; 0 outside the responses."""
    if batch.logprob_ref_BT is None:
        raise UserError(
            "kl_in=reward needs the log-probabilities of the frozen model (logprob_ref), which "
            "this batch does not hold; add them, or use kl_in=loss"
        )
    # In a reward only k1 gives the gradient of the KL; k3 would mix in the gradient of the reverse
    # KL.
    k1_BT = kl(batch.logprob_BT.double(), batch.logprob_ref_BT.double(), "k1")
    return k1_BT.masked_fill(batch.mask_BT == 0, 0)
