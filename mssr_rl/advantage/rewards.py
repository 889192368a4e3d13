"""Steps that change the reward before credit is assigned: length penalty, KL as a cost.

They come first in a chain. Everywhere else the KL is a term of the loss (`mssr_rl.loss`).

Shapes: B rollouts, T response tokens.
"""

import torch
from torch import Tensor

from mssr_rl.advantage.transform import Batch, Transform, stateless
from mssr_rl.errors import UserError
from mssr_rl.loss import kl
from mssr_rl.options import require


def penalise_overlong(buffer: int | None, factor: float) -> Transform:
    """DAPO's soft overlong punishment: r + min(-(length - (limit - buffer)) / buffer * factor, 0).

    limit is the batch's; where it is not known, as in a recorded batch, nothing is taken off.
    buffer=None is a fifth of it.
    """
    require(buffer is None or buffer >= 1, "overlong_buffer", buffer, "at least 1, or null")
    require(factor > 0, "overlong_factor", factor, "above 0")

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        if batch.response_limit is None:
            return a_B
        room = buffer or max(batch.response_limit // 5, 1)
        over_B = batch.mask_BT.sum(1).to(torch.float64) - (batch.response_limit - room)
        return a_B + (-over_B / room * factor).clamp(max=0)

    return stateless("penalise_overlong", "rollout", "rollout", f)


def subtract_kl_of_response(coef: float) -> Transform:
    """A response's KL as a cost, as in TRL's RLOO: r - coef * sum_t (lp_old - lp_ref)."""

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        return a_B - coef * _k1(batch).sum(1)

    return stateless("subtract_kl_of_response", "rollout", "rollout", f)


def subtract_kl_of_token(coef: float) -> Transform:
    """Every token's KL as a cost, as in REINFORCE++'s paper: R_t - coef * (lp_old - lp_ref)."""

    def f(a_BT: Tensor, batch: Batch) -> Tensor:
        return a_BT - coef * _k1(batch)

    return stateless("subtract_kl_of_token", "token", "token", f)


def _k1(batch: Batch) -> Tensor:
    """float64 BT, 0 outside the responses."""
    if batch.logprob_ref_BT is None:
        raise UserError(
            "kl_in=reward needs the log-probabilities of the frozen model (logprob_ref), which "
            "this batch does not hold; add them, or use kl_in=loss"
        )
    k1_BT = kl(batch.logprob_BT.double(), batch.logprob_ref_BT.double(), "k1")
    return k1_BT.masked_fill(batch.mask_BT == 0, 0)
