"""Entropy shaping, which makes MSSR out of MVSR: a bonus on tokens the policy was unsure of.

Comes last in a chain, on token advantages. From "Reasoning with Exploration: An Entropy
Perspective" (EA, arXiv 2506.14758), taken over by MSSR (arXiv 2512.18215) with other constants.

Shapes: B rollouts, T response tokens.
"""

from typing import Any, Literal, NamedTuple

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
        h_BT = uncertainty(batch, entropy).to(a_BT.dtype).masked_fill(batch.mask_BT == 0, 0)
        shaped = shaped_by(a_BT, h_BT, gamma, lam)
        weight_BT = batch.mask_BT / batch.mask_BT.sum().clamp(min=1)
        return Step(shaped.advantage_BT, state, shaping_metrics(a_BT, shaped, weight_BT))

    return Transform("shape_by_entropy", "token", "token", lambda n: None, update)


class Shaped(NamedTuple):
    """A shaped advantage per token, and how it came about."""

    advantage_BT: Tensor
    bonus_BT: Tensor  # psi
    capped_BT: Tensor  # bool: |A| / gamma decided


def shaped_by(a_BT: Tensor, h_BT: Tensor, gamma: float, lam: float) -> Shaped:
    """A + psi for advantages and entropies [nat] of the same shape; 0 where A is 0."""
    wished_BT, cap_BT = lam * h_BT, a_BT.abs() / gamma
    psi_BT = torch.minimum(cap_BT, wished_BT)
    return Shaped(a_BT + psi_BT, psi_BT, cap_BT < wished_BT)


def shaping_metrics(a_BT: Tensor, shaped: Shaped, weight_BT: Tensor) -> dict[str, float]:
    """The mean bonus, and the shares of tokens it was capped on and whose sign it turned."""
    flipped_BT = (a_BT < 0) & (shaped.advantage_BT > 0)
    named = {
        "shaping/bonus_mean": shaped.bonus_BT,
        "shaping/capped_fraction": shaped.capped_BT,
        "shaping/flipped_fraction": flipped_BT,
    }
    return {name: (x.double() * weight_BT).sum().item() for name, x in named.items()}


def uncertainty(batch: Batch, entropy: Uncertainty) -> Tensor:
    """H of every token under the rollout policy [nat], at least 0, without gradient.

    full: over the whole vocabulary. nll: -log p of the sampled token. plogp: its -p log p, the
    stand-in of MSSR's code, at most 1/e.
    """
    if batch.entropy_BT is None and entropy == "full":
        raise UserError(
            "entropy=full needs the entropy of every token, which this batch does not hold; "
            "add it, or set algo.entropy=nll"
        )
    full_BT = batch.logprob_BT if batch.entropy_BT is None else batch.entropy_BT
    # Rounding can leave a log-probability above 0.
    return entropy_of(batch.logprob_BT, full_BT, entropy).detach().clamp(min=0)


def entropy_of(logprob: Tensor, full: Tensor, entropy: Uncertainty) -> Tensor:
    """One of the three measures, from the sampled token's log-probability and the full entropy."""
    if entropy == "full":
        return full
    return -logprob if entropy == "nll" else plogp(logprob)


def plogp(logprob: Tensor) -> Tensor:
    """-p log p of the sampled token [nat]: one term of the entropy, not the entropy."""
    return -logprob.exp() * logprob
