"""GMPO: the geometric mean of a response's ratios, not their arithmetic mean. arXiv 2507.20673.

    l_t  = lp - lp_old, at most log_clip where A > 0, at least -log_clip where A < 0
    loss = -A_i * exp(mean over the tokens of l_t)          mean over responses

clip=token (the paper's choice) bounds the log-ratio of every token; clip=sequence, its ablation,
bounds their mean. One outlier changes a geometric mean little, so the bound is wide: e^-0.4 to
e^0.4. The advantage is GRPO's. As in verl's recipe, there is no KL.

Elsewhere: verl's geo_mean is clip=token. There and here, the advantage of a response is the mean
over its tokens.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.grpo import grpo
from mssr_rl.loss import Aggregate, PolicyLoss, Signal, Surrogate, register_loss
from mssr_rl.options import require


@register_loss("gmpo")
@dataclass(frozen=True, kw_only=True)
class GeometricMeanLoss(PolicyLoss):
    """One loss for a response, from the geometric mean of its tokens' ratios.

    Args:
        clip: token: bound every token's log-ratio; sequence: bound their mean
        log_clip_low: a log-ratio is at least -log_clip_low where A < 0 [nat]
        log_clip_high: a log-ratio is at most log_clip_high where A > 0 [nat]
    """

    kl_coef: float = 0.0
    aggregate: Aggregate = "seq-mean-token-mean"
    clip: Literal["token", "sequence"] = "token"
    log_clip_low: float = 0.4
    log_clip_high: float = 0.4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.log_clip_low >= 0, "log_clip_low", self.log_clip_low, "at least 0")
        require(self.log_clip_high >= 0, "log_clip_high", self.log_clip_high, "at least 0")

    @property
    def surrogate_aggregate(self) -> Aggregate:
        """Every token has its response's loss, and responses are averaged."""
        return "seq-mean-token-mean"

    def surrogate(self, signal: Signal) -> Surrogate:
        """Return the response's loss on each of its tokens."""
        advantage_B1 = signal.response_mean(signal.advantage_BT)
        free_BT = signal.log_ratio_BT
        if self.clip == "token":
            bound_BT = self._bounded(free_BT, signal.advantage_BT)
            mean_B1 = signal.response_mean(bound_BT)
        else:
            free_BT = signal.response_mean(free_BT).expand_as(free_BT)
            bound_BT = self._bounded(free_BT, advantage_B1)
            mean_B1 = bound_BT[:, :1]
        token_loss_BT = (-advantage_B1 * mean_B1.exp()).expand_as(free_BT)
        return Surrogate(token_loss_BT, bound_BT != free_BT)

    def _bounded(self, x: Tensor, advantage: Tensor) -> Tensor:
        """Return the log-ratio within the bound that the sign of A sets."""
        above, below = x.clamp(max=self.log_clip_high), x.clamp(min=-self.log_clip_low)
        return torch.where(advantage > 0, above, torch.where(advantage < 0, below, x))


@register("gmpo")
def gmpo(
    *,
    eps: float = 1e-6,
    std: Literal["sample", "population"] = "sample",
    loss: GeometricMeanLoss = GeometricMeanLoss(),
) -> Algorithm:
    """GRPO's advantage, and the geometric mean of a response's ratios.

    Args:
        eps: added to the standard deviation
        std: sample divides by n - 1, population by n
    """
    parts = {"without its loss": {"algo": "grpo"}}
    return replace(grpo(eps=eps, std=std), name="gmpo", loss=loss, ablations=parts)
