"""Entropy shaping, which makes MSSR out of MVSR: a bonus on tokens the policy was unsure of.

Comes last in a chain, on token advantages. From "Reasoning with Exploration: An Entropy
Perspective" (EA, arXiv 2506.14758), taken over by MSSR (arXiv 2512.18215) with other constants.

Shapes: B rollouts, T response tokens.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from mssr_rl.advantage.transform import Batch, Step, Transform
from mssr_rl.errors import UserError
from mssr_rl.options import require

Uncertainty = Literal["full", "nll", "plogp"]


def shape_by_entropy(gamma: float, lam: float, entropy: Uncertainty = "full") -> Transform:
    """A + psi with psi = min(|A| / gamma, lam * H), a constant for the gradient.

    gamma >= 1 keeps the sign of every advantage; below 1 an uncertain token of a wrong answer can
    come out rewarded, and `shaping/flipped_fraction` says how often it does.
    """
    require(gamma > 0, "gamma", gamma, "above 0")
    require(lam > 0, "lam", lam, "above 0")

    def update(a_BT: Tensor, batch: Batch, state: Any) -> Step:
        bonus_BT = lam * uncertainty(batch, entropy).to(a_BT.dtype)
        cap_BT = a_BT.abs() / gamma
        psi_BT = torch.minimum(cap_BT, bonus_BT).masked_fill(batch.mask_BT == 0, 0)
        shaped_BT = a_BT + psi_BT
        metrics = {
            "shaping/bonus_mean": _token_mean(psi_BT, batch),
            "shaping/capped_fraction": _token_mean(cap_BT < bonus_BT, batch),
            "shaping/flipped_fraction": _token_mean((a_BT < 0) & (shaped_BT > 0), batch),
        }
        return Step(shaped_BT, state, metrics)

    return Transform("shape_by_entropy", "token", "token", lambda n: None, update)


def uncertainty(batch: Batch, entropy: Uncertainty) -> Tensor:
    """H of every token under the rollout policy [nat], at least 0, without gradient.

    full: over the whole vocabulary. nll: -log p of the sampled token. plogp: its -p log p, the
    stand-in of MSSR's code, at most 1/e.
    """
    if entropy == "full":
        if batch.entropy_BT is None:
            raise UserError(
                "entropy=full needs the entropy of every token, which this batch does not hold; "
                "add it, or set algo.entropy=nll"
            )
        h_BT = batch.entropy_BT
    elif entropy == "nll":
        h_BT = -batch.logprob_BT
    else:
        h_BT = plogp(batch.logprob_BT)
    return h_BT.detach().clamp(min=0)  # rounding can leave a log-probability above 0


def plogp(logprob: Tensor) -> Tensor:
    """-p log p of the sampled token [nat]: one term of the entropy, not the entropy."""
    return -logprob.exp() * logprob


def _token_mean(x_BT: Tensor, batch: Batch) -> float:
    mask_BT = batch.mask_BT > 0
    return x_BT[mask_BT].double().mean().item() if mask_BT.any() else 0.0
