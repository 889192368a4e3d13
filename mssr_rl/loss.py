"""The policy loss: what an algorithm's surrogate is, KL estimators, and how tokens become a number.

    loss = aggregate(token loss) + kl_coef * aggregate(kl) - entropy_coef * aggregate(entropy)

A loss is a frozen dataclass of options with one pure method, `surrogate`. It is registered by name,
and an algorithm holds one; an engine calls the method and never asks for the name:

    @register_loss("reinforce")
    @dataclass(frozen=True, kw_only=True)
    class Reinforce(PolicyLoss):
        def surrogate(self, signal: Signal) -> Surrogate:
            token_loss_BT = -signal.advantage_BT * signal.logprob_BT
            return Surrogate(token_loss_BT, torch.zeros_like(signal.mask_BT, dtype=torch.bool))

`Loss` is the one that every algorithm has unless it says otherwise. `objective` puts the parts
together for an engine.

Shapes: B sequences of one optimiser update (all micro-batches, all ranks), T response tokens.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

from mssr_rl.options import require
from mssr_rl.registry import Registry

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


class Signal(NamedTuple):
    """What a policy loss sees of one micro-batch; only `logprob_BT` carries a gradient.

    A micro-batch holds whole responses, and any of them: a mean over several responses is another
    number for every way to cut an update. What a loss needs of the whole update it takes in `mark`.
    """

    logprob_BT: Tensor  # of the sampled token under the policy in training [nat]
    old_logprob_BT: Tensor  # under the policy that sampled
    advantage_BT: Tensor
    mask_BT: Tensor  # 1 on response tokens
    mark_BT: Tensor | None = None  # what `PolicyLoss.mark` gave these tokens

    @property
    def log_ratio_BT(self) -> Tensor:  # noqa: N802  the shape is in the name
        """log(p / p_old), clamped to +-20 so that its exponential is finite."""
        difference_BT = self.logprob_BT - self.old_logprob_BT
        return difference_BT.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)

    def response_sum(self, x_BT: Tensor) -> Tensor:
        """B1: the sum over a response's tokens; what stands outside the mask plays no part."""
        return x_BT.masked_fill(self.mask_BT == 0, 0).sum(1, keepdim=True)

    def response_mean(self, x_BT: Tensor) -> Tensor:
        """B1: the mean over a response's tokens, 0 of a response without tokens."""
        return self.response_sum(x_BT) / self.mask_BT.sum(1, keepdim=True).clamp(min=1)


class Surrogate(NamedTuple):
    """Per token, before aggregation; meaningless where the mask is 0."""

    token_loss_BT: Tensor
    clipped_BT: Tensor  # bool: what the loss counts as clipped, for `actor/pg_clipfrac`


@dataclass(frozen=True, kw_only=True)
class PolicyLoss(ABC):
    """What every policy loss has; a subclass adds its options and says what a token's loss is.

    Args:
        kl_coef: weight of the KL to the frozen initial model
        kl_estimator: k1, k2 or k3; on fresh rollouts the gradients are 0, of KL(policy, reference)
            and of KL(reference, policy)
        aggregate: how token losses become one number
        length_constant: what seq-mean-token-sum-norm divides by; null: the longest response allowed
        micro_size: sequences in a micro-batch of micro-token-mean; null: 4
        entropy_coef: weight of the entropy bonus
    """

    kl_coef: float = 0.01
    kl_estimator: Estimator = "k3"
    aggregate: Aggregate = "token-mean"
    length_constant: int | None = None
    micro_size: int | None = None
    entropy_coef: float = 0.0

    def __post_init__(self) -> None:
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

    @property
    def departs(self) -> str:
        """Why the gradient on fresh rollouts is not that of A * log p; empty where it is."""
        return ""

    @abstractmethod
    def surrogate(self, signal: Signal) -> Surrogate:
        """Every token's loss. Pure: nothing is written to, and no random number is drawn."""

    def mark(self, update: Signal, generator: torch.Generator) -> Tensor | None:  # noqa: ARG002
        """A number BT for every token of a whole update, asked for once before it; None: no need.

        `update.logprob_BT` is that of the policy that sampled, because the new one is known to a
        micro-batch only. Random numbers come from `generator`, which is seeded for this update.
        """
        return None

    @property
    def surrogate_aggregate(self) -> Aggregate:
        """How the surrogate is aggregated, where that is not `aggregate`."""
        return self.aggregate

    def within(self, longest_response: int) -> Self:
        """The loss of a run whose responses have at most so many tokens."""
        if self.aggregate != "seq-mean-token-sum-norm" or self.length_constant is not None:
            return self
        return replace(self, length_constant=longest_response)


losses: Registry[PolicyLoss] = Registry("loss", "mssr_rl.losses")
register_loss = losses.register


@register_loss("clipped")
@dataclass(frozen=True, kw_only=True)
class Loss(PolicyLoss):
    """PPO's clipped surrogate with the dual clip: what every arm of MSSR's comparison ran.

    arXiv 1707.06347 with asymmetric bounds. The dual clip (arXiv 1912.09729) bounds the loss of a
    token of a wrong answer whose probability has exploded.

    Args:
        clip_low: the ratio is clipped at 1 - clip_low
        clip_high: and at 1 + clip_high
        dual_clip: the loss of a token with A < 0 is at most dual_clip * |A|; null: off
        ratio: token: each token's own; sequence: their product, one clip per response, and the mean
            over responses whatever `aggregate` says of the other terms (TRL's RLOO)
    """

    clip_low: float = 0.2
    clip_high: float = 0.3
    dual_clip: float | None = 3.0
    ratio: Literal["token", "sequence"] = "token"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.clip_low <= 1, "clip_low", self.clip_low, "between 0 and 1")
        require(self.clip_high >= 0, "clip_high", self.clip_high, "at least 0")
        above_1 = self.dual_clip is None or self.dual_clip > 1
        require(above_1, "dual_clip", self.dual_clip, "above 1, or null to switch it off")

    @property
    def departs(self) -> str:
        """A sequence's ratio gives every token the gradient of the whole response."""
        return "one ratio for the whole response" if self.ratio == "sequence" else ""

    @property
    def surrogate_aggregate(self) -> Aggregate:
        """Every token holds its response's loss where ratio=sequence: their mean is that loss."""
        return "seq-mean-token-mean" if self.ratio == "sequence" else self.aggregate

    def surrogate(self, signal: Signal) -> Surrogate:
        """The larger of the plain and the clipped loss, bounded where A < 0."""
        difference_BT = signal.logprob_BT - signal.old_logprob_BT
        if self.ratio == "sequence":
            difference_BT = signal.response_sum(difference_BT).expand_as(difference_BT)
        ratio_BT = difference_BT.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()
        return clipped_surrogate(ratio_BT, signal.advantage_BT, self)


def clipped_surrogate(ratio_BT: Tensor, advantage_BT: Tensor, bounds: Loss) -> Surrogate:
    """max(-A * ratio, -A * clip(ratio)), and at most dual_clip * |A| where A < 0."""
    plain_BT = -advantage_BT * ratio_BT
    clipped_BT = -advantage_BT * ratio_BT.clamp(1 - bounds.clip_low, 1 + bounds.clip_high)
    worse_BT = torch.maximum(plain_BT, clipped_BT)
    if bounds.dual_clip is not None:
        bounded_BT = torch.minimum(worse_BT, -advantage_BT * bounds.dual_clip)
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


def token_weights(mask_BT: Tensor, loss: PolicyLoss, counted_B: Tensor | None = None) -> Weights:
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
    own = loss.surrogate_aggregate
    surrogate_BT = terms_BT if own == loss.aggregate else weights_BT(mask_BT, own)
    return Weights(surrogate_BT, terms_BT, weights_BT(mask_BT, "token-mean"))


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
