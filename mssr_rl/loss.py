"""Policy losses: surrogates, KL estimators, and the aggregation of token losses to one number.

    loss = aggregate(token loss) + kl_coef * aggregate(kl) - entropy_coef * aggregate(entropy)

A loss is a frozen dataclass of options with a pure method, `surrogate`, which engines call. It is
registered under a name, and every algorithm has one. For example:

    @register_loss("reinforce")
    @dataclass(frozen=True, kw_only=True)
    class Reinforce(PolicyLoss):
        def surrogate(self, signal: Signal) -> Surrogate:
            token_loss_BT = -signal.advantage_BT * signal.logprob_BT
            return Surrogate(token_loss_BT, torch.zeros_like(signal.mask_BT, dtype=torch.bool))

`Loss` is the default of all algorithms. `objective` puts the parts together for an engine.

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

LOG_RATIO_BOUND = 20.0  # keeps exp() finite; the same value as in EasyR1 and verl
K3_BOUND = 10.0
RELEASED_MICRO_SIZE = 4  # sequences per device and micro-batch in MSSR's released scripts


class Signal(NamedTuple):
    """The input of a policy loss for one micro-batch. Only `logprob_BT` has a gradient.

    A micro-batch holds any selection of whole responses. So a loss must not average over several
    responses: the result would depend on how the update is split. `PolicyLoss.mark` computes values
    that need the whole update.
    """

    logprob_BT: Tensor  # log-probability of the sampled token under the trained policy [nat]
    old_logprob_BT: Tensor  # the same under the policy that sampled [nat]
    advantage_BT: Tensor
    mask_BT: Tensor  # 1 on response tokens
    mark_BT: Tensor | None = None  # the result of `PolicyLoss.mark` for these tokens

    @property
    def log_ratio_BT(self) -> Tensor:  # noqa: N802  the shape is in the name
        """The log-ratio log(p / p_old), clamped to +-20 so that its exponential is finite."""
        difference_BT = self.logprob_BT - self.old_logprob_BT
        return difference_BT.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)

    def response_sum(self, x_BT: Tensor) -> Tensor:
        """Return the sum over the tokens of each response, without padding, shape [B, 1]."""
        return x_BT.masked_fill(self.mask_BT == 0, 0).sum(1, keepdim=True)

    def response_mean(self, x_BT: Tensor) -> Tensor:
        """Return the mean over the tokens of each response, shape [B, 1].

        It is 0 for a response without tokens.
        """
        return self.response_sum(x_BT) / self.mask_BT.sum(1, keepdim=True).clamp(min=1)


class Surrogate(NamedTuple):
    """The loss of each token before aggregation. Where the mask is 0, values have no meaning."""

    token_loss_BT: Tensor
    clipped_BT: Tensor  # bool: the tokens that count as clipped in `actor/pg_clipfrac`


@dataclass(frozen=True, kw_only=True)
class PolicyLoss(ABC):
    """The base of all policy losses. A subclass adds its options and defines `surrogate`.

    Args:
        kl_coef: weight of the KL to the frozen initial model
        kl_estimator: k1, k2 or k3; their gradients on fresh rollouts are 0, that of
            KL(policy, reference), and that of KL(reference, policy)
        aggregate: how token losses are combined to one number
        length_constant: divisor of seq-mean-token-sum-norm; null: the longest response allowed
        micro_size: sequences in a micro-batch of micro-token-mean; null: 4
        entropy_coef: weight of the entropy bonus
        truncated: leave_out: responses that the length limit cut off are left out of the loss, but
            not of the baselines; keep: they are treated like all others
        adaptive_kl: kl_coef is adjusted so that the KL to the frozen model approaches this value
            [nat per token]; null: kl_coef is constant
        adaptive_kl_horizon: adaptive_kl changes kl_coef by a fifth at most in this many rollouts;
            null: 10,000
        adaptive_entropy: while the entropy is at most this value [nat per token], entropy_coef
            rises; above it, entropy_coef falls and has no effect; null: entropy_coef is constant
        adaptive_entropy_step: change of entropy_coef in one step; null: 0.005
        adaptive_entropy_max: largest entropy_coef of adaptive_entropy; null: 1
    """

    kl_coef: float = 0.01
    kl_estimator: Estimator = "k3"
    aggregate: Aggregate = "token-mean"
    length_constant: int | None = None
    micro_size: int | None = None
    entropy_coef: float = 0.0
    truncated: Literal["keep", "leave_out"] = "keep"
    adaptive_kl: float | None = None
    adaptive_kl_horizon: float | None = None
    adaptive_entropy: float | None = None
    adaptive_entropy_step: float | None = None
    adaptive_entropy_max: float | None = None

    def __post_init__(self) -> None:
        self._check_controllers()
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

    def _check_controllers(self) -> None:
        for name, controller in (
            ("adaptive_kl", None),
            ("adaptive_kl_horizon", "adaptive_kl"),
            ("adaptive_entropy", None),
            ("adaptive_entropy_step", "adaptive_entropy"),
            ("adaptive_entropy_max", "adaptive_entropy"),
        ):
            value = getattr(self, name)
            unset = controller is not None and getattr(self, controller) is None
            says = f"above 0, and null unless {controller} is set" if controller else "above 0"
            require(value is None or (value > 0 and not unset), name, value, says)
        # A factor cannot move a coefficient of 0.
        moved = self.adaptive_kl is None or self.kl_coef > 0
        says = "null where kl_coef=0, or where the KL is in the reward"
        require(moved, "adaptive_kl", self.adaptive_kl, says)

    @property
    def departs(self) -> str:
        """A phrase that says why the gradient on fresh rollouts is not that of A * log p, or ""."""
        return ""

    @abstractmethod
    def surrogate(self, signal: Signal) -> Surrogate:
        """Return the loss of every token. It must be pure, and must not draw random numbers."""

    def mark(self, update: Signal, generator: torch.Generator) -> Tensor | None:  # noqa: ARG002
        """Return one number per token of a whole update, shape [B, T], or None if none are needed.

        It is called once, before the update is split into micro-batches. `update.logprob_BT` is
        from the policy that sampled, because the new values are computed later, per micro-batch.
        Draw random numbers only from `generator`, which has the update's seed.
        """
        return None

    @property
    def surrogate_aggregate(self) -> Aggregate:
        """The aggregation of the surrogate; by default that of the other terms, `aggregate`."""
        return self.aggregate

    def within(self, longest_response: int) -> Self:
        """Return the loss with `length_constant` set to `longest_response` if it is needed.

        It is needed by aggregate=seq-mean-token-sum-norm, if the option is null. `longest_response`
        is the largest number of tokens that a response of the run can have.
        """
        if self.aggregate != "seq-mean-token-sum-norm" or self.length_constant is not None:
            return self
        return replace(self, length_constant=longest_response)


losses: Registry[PolicyLoss] = Registry("loss", "mssr_rl.losses")
register_loss = losses.register


@register_loss("clipped")
@dataclass(frozen=True, kw_only=True)
class Loss(PolicyLoss):
    """PPO's clipped surrogate with the dual clip, as in every arm of MSSR's comparison.

    The surrogate is that of arXiv 1707.06347, with different bounds below and above 1. The dual
    clip (arXiv 1912.09729) bounds the loss of tokens with A < 0 whose probability grew far.

    Args:
        clip_low: the ratio is clipped at 1 - clip_low from below
        clip_high: and at 1 + clip_high from above
        dual_clip: the loss of a token with A < 0 is at most dual_clip * |A|; null: off
        ratio: token: one ratio per token; sequence: their product, one clip per response, and the
            mean over responses, whatever `aggregate` is for the other terms (TRL's RLOO)
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
        """A phrase for ratio=sequence, in which all tokens share one ratio; otherwise ""."""
        return "one ratio for the whole response" if self.ratio == "sequence" else ""

    @property
    def surrogate_aggregate(self) -> Aggregate:
        """The mean over tokens and then responses for ratio=sequence; otherwise `aggregate`.

        With ratio=sequence every token has the loss of its response, so the mean is that loss.
        """
        return "seq-mean-token-mean" if self.ratio == "sequence" else self.aggregate

    def surrogate(self, signal: Signal) -> Surrogate:
        """Return the larger of the unclipped and the clipped loss of every token.

        For tokens with A < 0 it is bounded by `dual_clip`.
        """
        # A ratio is made from a clamped difference: exp overflows float32 at 88, and inf * 0 is
        # NaN.
        difference_BT = signal.logprob_BT - signal.old_logprob_BT
        if self.ratio == "sequence":
            difference_BT = signal.response_sum(difference_BT).expand_as(difference_BT)
        ratio_BT = difference_BT.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()
        bounds = (self.clip_low, self.clip_high, self.dual_clip)
        return clipped_surrogate(ratio_BT, signal.advantage_BT, *bounds)


def clipped_surrogate(
    ratio_BT: Tensor,
    advantage_BT: Tensor,
    clip_low: float,
    clip_high: float,
    dual_clip: float | None = None,
) -> Surrogate:
    """Return the token losses max(-A * ratio, -A * clip(ratio)), and which tokens are clipped.

    Where A < 0, the loss is at most dual_clip * |A|.
    """
    plain_BT = -advantage_BT * ratio_BT
    clipped_BT = -advantage_BT * ratio_BT.clamp(1 - clip_low, 1 + clip_high)
    # The larger loss is the pessimistic one: a clip may take a gain away, never a loss.
    worse_BT = torch.maximum(plain_BT, clipped_BT)
    if dual_clip is not None:
        # For A < 0 the maximum above is unbounded: a ratio of 50 would weigh a token 50 times.
        bounded_BT = torch.minimum(worse_BT, -advantage_BT * dual_clip)
        worse_BT = torch.where(advantage_BT < 0, bounded_BT, worse_BT)
    return Surrogate(worse_BT, clipped_BT > plain_BT)


def kl(logprob: Tensor, reference: Tensor, estimator: Estimator) -> Tensor:
    """Return an estimate of KL(policy, reference) [nat] for each token, in the inputs' shape.

    k1 = d, k2 = d^2 / 2, k3 = exp(-d) + d - 1 with d = logprob - reference. d and k3 are clamped as
    in EasyR1 and verl; TRL has no clamps. k3 uses expm1, because the plain sum loses half of its
    digits near 0.
    """
    # Outside the clamps the gradient is 0: a token there no longer pulls the policy back.
    d = (logprob - reference).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)
    if estimator == "k1":
        return d
    if estimator == "k2":
        return d.square() / 2
    return (torch.expm1(-d) + d).clamp(max=K3_BOUND)


class Weights(NamedTuple):
    """Token weights [B, T] of one optimiser update; micro-batches and ranks use their own rows."""

    surrogate: Tensor
    terms: Tensor  # for the KL, the entropy and other added terms
    shares: Tensor  # a plain mean over tokens, for metrics


def token_weights(mask_BT: Tensor, loss: PolicyLoss, counted_B: Tensor | None = None) -> Weights:
    """Return the weight of every token in the loss, from the mask of the whole update.

    Sequences where `counted_B` is False get weight 0. The other weights are the same as in an
    update without those sequences.
    """
    if counted_B is not None and not counted_B.all():
        # Weights are computed without the left-out rows: their number must not enter a denominator.
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
    """Return token weights w [B, T] with sum(x * w) = aggregate(x), for the mask of an update.

    Each micro-batch and rank uses its rows of w, and the results are added. A sequence without
    tokens counts in the mean and adds 0. `constant` is the divisor of seq-mean-token-sum-norm, or
    the number of sequences in a micro-batch of micro-token-mean. Raises `ValueError` if the divisor
    is missing.
    """
    # Each branch divides by a number of the whole update, never of a micro-batch. So the sum over
    # micro-batches and ranks is the same for every cut; micro-token-mean is the released exception.
    if how == "token-mean":
        return mask_BT / mask_BT.sum().clamp(min=1)
    if how == "micro-token-mean":
        micro = mask_BT.split(constant or RELEASED_MICRO_SIZE)
        return torch.cat([rows / rows.sum().clamp(min=1) for rows in micro]) / len(micro)
    sequences = max(len(mask_BT), 1)
    if how == "seq-mean-token-sum":
        return mask_BT / sequences
    if how == "seq-mean-token-sum-norm":
        # Dr. GRPO divides by one constant: a divisor that is the response's own length makes long
        # wrong answers cheap (arXiv 2503.20783).
        if constant is None:
            raise ValueError("seq-mean-token-sum-norm divides by a constant: pass it")
        return mask_BT / (sequences * constant)
    return mask_BT / mask_BT.sum(1, keepdim=True).clamp(min=1) / sequences


def aggregate(x_BT: Tensor, mask_BT: Tensor, how: Aggregate, constant: int | None = None) -> Tensor:
    """Return the values of all tokens combined to one number by the aggregation `how`.

    Values where the mask is 0 are ignored.
    """
    weight_BT = weights_BT(mask_BT, how, constant)
    return (x_BT.masked_fill(mask_BT == 0, 0) * weight_BT).sum()
