"""CISPO: the ratio is clipped, but no token loses its gradient. MiniMax-M1, arXiv 2506.13585.

    w_t  = stop(clip(p_t / p_old_t, 1 - clip_low, 1 + clip_high))
    loss = -w_t * A_t * log p_t                                         token-mean

PPO's clip removes the gradient of a token. Here the token keeps its gradient, with a bounded
weight. The paper has no lower bound (clip_low=1), tunes the upper bound without stating it, and
uses no KL. The advantage is GRPO's.

Elsewhere: verl has the same function. TRL's epsilon_high=5 is the largest ratio: clip_high=4 here.
"""

from dataclasses import dataclass, replace
from typing import Literal

from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.grpo import grpo
from mssr_rl.loss import PolicyLoss, Signal, Surrogate, register_loss
from mssr_rl.options import require


@register_loss("cispo")
@dataclass(frozen=True, kw_only=True)
class ClippedWeightLoss(PolicyLoss):
    """REINFORCE with a clipped importance weight that carries no gradient.

    Args:
        clip_low: the weight is at least 1 - clip_low; 1: no lower bound
        clip_high: the weight is at most 1 + clip_high
    """

    kl_coef: float = 0.0
    clip_low: float = 1.0
    clip_high: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.clip_low <= 1, "clip_low", self.clip_low, "between 0 and 1")
        require(self.clip_high >= 0, "clip_high", self.clip_high, "at least 0")

    def surrogate(self, signal: Signal) -> Surrogate:
        """Return -w * A * log p of every token."""
        ratio_BT = signal.log_ratio_BT.detach().exp()
        weight_BT = ratio_BT.clamp(1 - self.clip_low, 1 + self.clip_high)
        token_loss_BT = -weight_BT * signal.advantage_BT * signal.logprob_BT
        return Surrogate(token_loss_BT, weight_BT != ratio_BT)


@register("cispo")
def cispo(
    *,
    eps: float = 1e-6,
    std: Literal["sample", "population"] = "sample",
    loss: ClippedWeightLoss = ClippedWeightLoss(),
) -> Algorithm:
    """GRPO's advantage with a clipped importance weight, so that every token keeps its gradient.

    Args:
        eps: added to the standard deviation
        std: sample divides by n - 1, population by n
    """
    parts = {"without its loss": {"algo": "grpo"}}
    return replace(grpo(eps=eps, std=std), name="cispo", loss=loss, ablations=parts)
