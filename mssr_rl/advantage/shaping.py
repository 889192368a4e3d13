"""Entropy shaping: a bonus on tokens where the policy was uncertain. MSSR is MVSR plus this bonus.

The step comes last in a chain and works on token advantages. Its source is "Reasoning with
Exploration: An Entropy Perspective" (EA, arXiv 2506.14758). MSSR (arXiv 2512.18215) uses it with
other constants.

Shapes: B rollouts, T response tokens.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage.transform import Batch, Step, Transform
from mssr_rl.errors import UserError
from mssr_rl.metric_names import BONUS_CAPPED_SHARE, BONUS_MEAN, SIGN_FLIPPED_SHARE
from mssr_rl.options import require

Uncertainty = Literal["full", "nll", "plogp"]


def shape_by_entropy(gamma: float, lam: float, entropy: Uncertainty = "full") -> Transform:
    """Return a step that adds the bonus psi = min(|A| / gamma, lam * H) to every advantage A.

    H is the measure `entropy` of the token. No gradient flows through psi. With gamma >= 1 every
    advantage keeps its sign. With gamma < 1 an uncertain token of a wrong answer can get a positive
    advantage; `shaping/flipped_fraction` measures how often.
    """
    require(gamma > 0, "gamma", gamma, "above 0")
    require(lam > 0, "lam", lam, "above 0")

    def update(a_BT: Tensor, batch: Batch, state: Any) -> Step:
        h_BT = uncertainty(batch, entropy).to(a_BT.dtype).masked_fill(batch.mask_BT == 0, 0)
        shaped = shaped_by(a_BT, h_BT, gamma, lam)
        # Shares are over all response tokens of the step, as clipped shares are.
        weight_BT = batch.mask_BT / batch.mask_BT.sum().clamp(min=1)
        return Step(shaped.advantage_BT, state, shaping_metrics(a_BT, shaped, weight_BT))

    return Transform("shape_by_entropy", "token", "token", lambda n: None, update)


class Shaped(NamedTuple):
    """A shaped advantage per token, and its bonus."""

    advantage_BT: Tensor
    bonus_BT: Tensor  # psi
    capped_BT: Tensor  # bool: |A| / gamma was the smaller term


def shaped_by(a_BT: Tensor, h_BT: Tensor, gamma: float, lam: float) -> Shaped:
    """Return A + psi for advantages and entropies [nat], both [B, T]; 0 where A is 0."""
    # The paper's text has gamma = 0.4 and lam = 2.0, its released code the two the other way round.
    # With gamma = 0.4 the cap is 2.5 |A|, and a penalty can become a reward.
    wished_BT, cap_BT = lam * h_BT, a_BT.abs() / gamma
    # Where A is 0 the cap is 0 too: a token that teaches nothing gets no bonus for being unsure.
    psi_BT = torch.minimum(cap_BT, wished_BT)
    return Shaped(a_BT + psi_BT, psi_BT, cap_BT < wished_BT)


def shaping_metrics(a_BT: Tensor, shaped: Shaped, weight_BT: Tensor) -> dict[str, float]:
    """Return the mean bonus, and the shares of tokens with a capped bonus and a flipped sign.

    `weight_BT` are the weights of the tokens in these means.
    """
    flipped_BT = (a_BT < 0) & (shaped.advantage_BT > 0)
    named = {
        BONUS_MEAN: shaped.bonus_BT,
        BONUS_CAPPED_SHARE: shaped.capped_BT,
        SIGN_FLIPPED_SHARE: flipped_BT,
    }
    return {name: (x.double() * weight_BT).sum().item() for name, x in named.items()}


def uncertainty(batch: Batch, entropy: Uncertainty) -> Tensor:
    """Return H of every token under the rollout policy [nat], shape [B, T], without gradient.

    full: the entropy over the whole vocabulary. nll: -log p of the sampled token. plogp: -p log p
    of the sampled token, which MSSR's code uses in place of the entropy; it is at most 1/e. Raises
    `UserError` if `full` is chosen and the batch has no entropy.
    """
    if batch.entropy_BT is None and entropy == "full":
        raise UserError(
            "entropy=full needs the entropy of every token, which this batch does not hold; "
            "add it, or set algo.entropy=nll"
        )
    full_BT = batch.logprob_BT if batch.entropy_BT is None else batch.entropy_BT
    # Rounding can give a log-probability slightly above 0, and so a negative H.
    return entropy_of(batch.logprob_BT, full_BT, entropy).detach().clamp(min=0)


def entropy_of(logprob: Tensor, full: Tensor, entropy: Uncertainty) -> Tensor:
    """Return one of the three measures of `uncertainty`, same shape as the inputs."""
    if entropy == "full":
        return full
    return -logprob if entropy == "nll" else plogp(logprob)


def plogp(logprob: Tensor) -> Tensor:
    """Return -p log p of the sampled token [nat]. It is one term of the entropy, not the sum."""
    return -logprob.exp() * logprob
