"""The policy loss in plain functions: surrogate, KL estimators, aggregation. Chosen by `Loss`.

    loss = aggregate(token loss) + kl_coef * aggregate(kl) - entropy_coef * aggregate(entropy)

An algorithm differs in its advantages; the loss is the same for all of them unless it says so.
`objective` puts the parts together for an engine.

Shapes: B sequences of one optimiser update (all micro-batches, all ranks), T response tokens.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mssr_rl.options import require

Estimator = Literal["k1", "k2", "k3"]
Aggregate = Literal[
    "token-mean",
    "seq-mean-token-mean",
    "seq-mean-token-sum",
    "seq-mean-token-sum-norm",
    "micro-token-mean",
]

LOG_RATIO_BOUND = 20.0  # as EasyR1 and verl: keeps exp() finite
K3_BOUND = 10.0
RELEASED_MICRO_SIZE = 4  # sequences on a device at a time, in MSSR's scripts


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Which surrogate the actor minimises. Defaults: what every arm of MSSR's comparison ran.

    Args:
        clip_low: the ratio is clipped at 1 - clip_low
        clip_high: and at 1 + clip_high
        dual_clip: the loss of a token with A < 0 is at most dual_clip * |A|; null: off
        ratio: token: each token's own; sequence: their product, one clip per response, and the mean
            over responses whatever `aggregate` says of the other terms (TRL's RLOO)
        kl_coef: weight of the KL to the frozen initial model
        kl_estimator: k1, k2 or k3; on fresh rollouts the gradients are 0, of KL(policy, reference)
            and of KL(reference, policy)
        aggregate: how token losses become one number
        length_constant: what seq-mean-token-sum-norm divides by; null: the longest response allowed
        micro_size: sequences in a micro-batch of micro-token-mean; null: 4
        entropy_coef: weight of the entropy bonus
    """

    clip_low: float = 0.2
    clip_high: float = 0.3
    dual_clip: float | None = 3.0
    ratio: Literal["token", "sequence"] = "token"
    kl_coef: float = 0.01
    kl_estimator: Estimator = "k3"
    aggregate: Aggregate = "token-mean"
    length_constant: int | None = None
    micro_size: int | None = None
    entropy_coef: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.clip_low <= 1, "clip_low", self.clip_low, "between 0 and 1")
        require(self.clip_high >= 0, "clip_high", self.clip_high, "at least 0")
        above_1 = self.dual_clip is None or self.dual_clip > 1
        require(above_1, "dual_clip", self.dual_clip, "above 1, or null to switch it off")
        require(self.kl_coef >= 0, "kl_coef", self.kl_coef, "at least 0")
        require(self.entropy_coef >= 0, "entropy_coef", self.entropy_coef, "at least 0")
        for name, user in (
            ("length_constant", "seq-mean-token-sum-norm"),
            ("micro_size", "micro-token-mean"),
        ):
            value = getattr(self, name)
            says = f"at least 1, and null unless aggregate={user}, the only one that uses it"
            used = value is None or (value >= 1 and self.aggregate == user)
            require(used, name, value, says)


class Surrogate(NamedTuple):
    """Per token, before aggregation; meaningless where the mask is 0."""

    token_loss_BT: Tensor
    clipped_BT: Tensor  # bool: the clipped ratio decided (not counting the dual clip)


def surrogate(
    logprob_BT: Tensor,
    old_logprob_BT: Tensor,
    advantage_BT: Tensor,
    loss: Loss,
    mask_BT: Tensor | None = None,
) -> Surrogate:
    """PPO's clipped surrogate (arXiv 1707.06347) with asymmetric bounds and the dual clip.

    The dual clip (arXiv 1912.09729) bounds the loss of a token of a wrong answer whose probability
    has exploded. Only `logprob_BT` is meant to carry a gradient; `mask_BT` is needed where
    ratio=sequence, which sums over the response's tokens.
    """
    difference_BT = logprob_BT - old_logprob_BT
    if loss.ratio == "sequence":
        if mask_BT is None:
            raise ValueError("ratio=sequence sums over response tokens: pass the mask")
        whole_B1 = difference_BT.masked_fill(mask_BT == 0, 0).sum(1, keepdim=True)
        difference_BT = whole_B1.expand_as(difference_BT)
    ratio_BT = difference_BT.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()
    plain_BT = -advantage_BT * ratio_BT
    clipped_BT = -advantage_BT * ratio_BT.clamp(1 - loss.clip_low, 1 + loss.clip_high)
    worse_BT = torch.maximum(plain_BT, clipped_BT)
    if loss.dual_clip is not None:
        bounded_BT = torch.minimum(worse_BT, -advantage_BT * loss.dual_clip)
        worse_BT = torch.where(advantage_BT < 0, bounded_BT, worse_BT)
    return Surrogate(worse_BT, clipped_BT > plain_BT)


def kl(logprob: Tensor, reference: Tensor, estimator: Estimator) -> Tensor:
    """Estimates KL(policy, reference) [nat] at every sampled token; same shape as the inputs.

    k1 = d, k2 = d^2 / 2, k3 = exp(-d) + d - 1 with d = logprob - reference, clamped as EasyR1 and
    verl do (TRL: not at all). k3 is written with expm1: the sum loses half its digits near 0.
    """
    d = (logprob - reference).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    if estimator == "k1":
        return d
    if estimator == "k2":
        return d.square() / 2
    return (torch.expm1(-d) + d).clamp(max=K3_BOUND)


class Weights(NamedTuple):
    """Token weights BT of one optimiser update; micro-batches and ranks take their rows of them."""

    surrogate: Tensor
    terms: Tensor  # of the KL, the entropy, and whatever else is added
    shares: Tensor  # a plain token mean, for what is only measured


def token_weights(mask_BT: Tensor, loss: Loss, counted_B: Tensor | None = None) -> Weights:
    """How much every token of an update counts, for the mask of the whole update.

    A sequence that is not counted weighs nothing, and the others weigh what they would without it.
    """
    if counted_B is not None and not counted_B.all():
        alone = token_weights(mask_BT[counted_B], loss)
        empty_BT = torch.zeros_like(mask_BT)
        row = counted_B.nonzero()[:, 0]
        return Weights(*(empty_BT.index_copy(0, row, w.to(mask_BT.dtype)) for w in alone))
    constant = loss.length_constant or loss.micro_size
    terms_BT = weights_BT(mask_BT, loss.aggregate, constant)
    if loss.ratio == "sequence":  # every token holds its response's loss: their mean is that loss
        return Weights(
            weights_BT(mask_BT, "seq-mean-token-mean"), terms_BT, weights_BT(mask_BT, "token-mean")
        )
    return Weights(terms_BT, terms_BT, weights_BT(mask_BT, "token-mean"))


def weights_BT(  # noqa: N802  the shape is in the name
    mask_BT: Tensor, how: Aggregate, constant: int | None = None
) -> Tensor:
    """Token weights w with sum(x * w) = aggregate(x), for the mask of a whole optimiser update.

    Micro-batches and ranks take their rows of w and simply add up. A sequence without tokens counts
    as a sequence and adds 0. `constant` is what seq-mean-token-sum-norm divides by, and how many
    sequences a micro-batch of micro-token-mean has.
    """
    if how == "token-mean":
        return mask_BT / mask_BT.sum().clamp(min=1)
    if how == "micro-token-mean":
        micro = mask_BT.split(constant or RELEASED_MICRO_SIZE)
        return torch.cat([rows / rows.sum().clamp(min=1) for rows in micro]) / len(micro)
    sequences = max(len(mask_BT), 1)
    if how == "seq-mean-token-sum":
        return mask_BT / sequences
    if how == "seq-mean-token-sum-norm":
        if constant is None:
            raise ValueError("seq-mean-token-sum-norm divides by a constant: pass it")
        return mask_BT / (sequences * constant)
    return mask_BT / mask_BT.sum(1, keepdim=True).clamp(min=1) / sequences


def aggregate(x_BT: Tensor, mask_BT: Tensor, how: Aggregate, constant: int | None = None) -> Tensor:
    """One number from a value per token; what `x_BT` holds outside the mask plays no part."""
    weight_BT = weights_BT(mask_BT, how, constant)
    return (x_BT.masked_fill(mask_BT == 0, 0) * weight_BT).sum()
