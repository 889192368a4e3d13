"""Clip-Cov and KL-Cov: restrain the few tokens that lower entropy most. arXiv 2505.22617.

    cov_t = (A_t - mean A) * (lp_t - mean lp)           over the tokens of an update

    clip_cov    a share `fraction` of all tokens is drawn at random among those with
                cov_low < cov < cov_high; these get no gradient, the others get PPO's loss
    kl_cov      the share `fraction` of tokens with the largest cov gets the penalty
                kl_cov_coef * |lp - lp_old|, and nothing is clipped

Entropy falls as fast as the covariance of log p and p * A, and a few tokens carry most of it. Here
lp is that of the rollout policy, so that the chosen tokens do not depend on the micro-batches. On
fresh rollouts it equals that of the policy in training. The advantage is GRPO's. No KL.

Elsewhere: verl takes lp of the policy in training over one micro-batch. Its clip_cov draws among
tokens that PPO's clip does not stop already.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.grpo import grpo
from mssr_rl.loss import Loss, PolicyLoss, Signal, Surrogate, register_loss
from mssr_rl.options import require


def covariance(update: Signal) -> Tensor:
    """Return (A - mean A) * (lp - mean lp) of the N response tokens of an update, in order."""
    on_BT = update.mask_BT > 0
    advantage_N, logprob_N = update.advantage_BT[on_BT], update.logprob_BT[on_BT]
    return (advantage_N - advantage_N.mean()) * (logprob_N - logprob_N.mean())


def marked(update: Signal, place: Tensor) -> Tensor:
    """Return BT: 1 at these places among the N response tokens, 0 elsewhere."""
    on_BT = update.mask_BT > 0
    mark_N = update.mask_BT.new_zeros(int(on_BT.sum()))
    mark_N[place] = 1
    return torch.zeros_like(update.mask_BT).masked_scatter(on_BT, mark_N)


@register_loss("clip_cov")
@dataclass(frozen=True, kw_only=True)
class CovarianceClippedLoss(Loss):
    """The clipped surrogate, without some tokens of high covariance.

    Args:
        fraction: largest share of an update's tokens that get no gradient
        cov_low: only tokens with a larger covariance are drawn
        cov_high: only tokens with a smaller covariance are drawn
    """

    kl_coef: float = 0.0
    clip_low: float = 1.0
    clip_high: float = 1.0
    dual_clip: float | None = None
    fraction: float = 2e-4
    cov_low: float = 1.0
    cov_high: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.fraction <= 1, "fraction", self.fraction, "above 0 and at most 1")
        above = self.cov_low < self.cov_high
        require(above, "cov_high", self.cov_high, f"above cov_low={self.cov_low}")

    @property
    def departs(self) -> str:
        """The selected tokens have no gradient."""
        return "tokens of high covariance learn nothing"

    def mark(self, update: Signal, generator: torch.Generator) -> Tensor | None:
        """Return 1 for tokens that get no gradient in this update, 0 elsewhere."""
        cov_N = covariance(update)
        place = ((cov_N > self.cov_low) & (cov_N < self.cov_high)).nonzero()[:, 0]
        count = max(int(self.fraction * len(cov_N)), 1)
        drawn = place[torch.randperm(len(place), generator=generator)[:count]]
        return marked(update, drawn)

    def surrogate(self, signal: Signal) -> Surrogate:
        """Return the clipped surrogate, and 0 where the mark is 1."""
        found, mark_BT = super().surrogate(signal), signal.mark_BT
        assert mark_BT is not None
        held_BT = mark_BT > 0
        return Surrogate(found.token_loss_BT.masked_fill(held_BT, 0), found.clipped_BT | held_BT)


@register_loss("kl_cov")
@dataclass(frozen=True, kw_only=True)
class CovariancePenaltyLoss(PolicyLoss):
    """-A * ratio, plus a penalty on |log ratio| for the tokens of highest covariance.

    Args:
        fraction: share of an update's tokens with the penalty; at least one token has it
        kl_cov_coef: penalty for each nat that the token's log-probability moves
    """

    kl_coef: float = 0.0
    fraction: float = 2e-4
    kl_cov_coef: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.fraction <= 1, "fraction", self.fraction, "above 0 and at most 1")
        require(self.kl_cov_coef >= 0, "kl_cov_coef", self.kl_cov_coef, "at least 0")

    def mark(self, update: Signal, generator: torch.Generator) -> Tensor | None:  # noqa: ARG002
        """Return 1 for tokens with the penalty in this update, 0 elsewhere."""
        cov_N = covariance(update)
        count = max(int(self.fraction * len(cov_N)), 1)
        return marked(update, cov_N.sort(descending=True, stable=True).indices[:count])

    def surrogate(self, signal: Signal) -> Surrogate:
        """Return -A * ratio, plus the penalty where the mark is 1."""
        log_ratio_BT, mark_BT = signal.log_ratio_BT, signal.mark_BT
        assert mark_BT is not None
        price_BT = self.kl_cov_coef * mark_BT * log_ratio_BT.abs()
        token_loss_BT = -signal.advantage_BT * log_ratio_BT.exp() + price_BT
        return Surrogate(token_loss_BT, mark_BT > 0)


@register("clip_cov")
def clip_cov(
    *,
    eps: float = 1e-6,
    std: Literal["sample", "population"] = "sample",
    loss: CovarianceClippedLoss = CovarianceClippedLoss(),
) -> Algorithm:
    """GRPO's advantage; a few tokens of high covariance learn nothing.

    Args:
        eps: added to the standard deviation
        std: sample divides by n - 1, population by n
    """
    parts = {"without its loss": {"algo": "grpo"}}
    return replace(grpo(eps=eps, std=std), name="clip_cov", loss=loss, ablations=parts)


@register("kl_cov")
def kl_cov(
    *,
    eps: float = 1e-6,
    std: Literal["sample", "population"] = "sample",
    loss: CovariancePenaltyLoss = CovariancePenaltyLoss(),
) -> Algorithm:
    """GRPO's advantage; the tokens of highest covariance get a penalty for each change.

    Args:
        eps: added to the standard deviation
        std: sample divides by n - 1, population by n
    """
    parts = {"without its loss": {"algo": "grpo"}}
    return replace(grpo(eps=eps, std=std), name="kl_cov", loss=loss, ablations=parts)
