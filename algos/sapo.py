"""SAPO: a soft gate in place of the clip. arXiv 2511.20347.

    f(r) = sigmoid(tau * (r - 1)) * 4 / tau             tau = tau_pos where A > 0, else tau_neg
    loss = -A_t * f(p_t / p_old_t)

The loss is averaged over a response's tokens, then over responses. f'(1) = 1, so fresh rollouts
have the policy gradient. Away from 1 the gradient becomes smaller instead of ending, and faster for
tokens of wrong answers. The advantage is GRPO's. Nothing is clipped: `actor/pg_clipfrac` is 0.

Elsewhere: verl and TRL have the same function, with the same temperatures.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch

from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.grpo import grpo
from mssr_rl.loss import Aggregate, PolicyLoss, Signal, Surrogate, register_loss
from mssr_rl.options import require


@register_loss("sapo")
@dataclass(frozen=True, kw_only=True)
class SoftGateLoss(PolicyLoss):
    """The ratio passes through a sigmoid. So a token's gradient fades out instead of
    being clipped to 0.

    Args:
        tau_pos: how fast the gate closes where A > 0
        tau_neg: how fast the gate closes where A <= 0
    """

    aggregate: Aggregate = "seq-mean-token-mean"
    tau_pos: float = 1.0
    tau_neg: float = 1.05

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.tau_pos > 0, "tau_pos", self.tau_pos, "above 0")
        require(self.tau_neg > 0, "tau_neg", self.tau_neg, "above 0")

    def surrogate(self, signal: Signal) -> Surrogate:
        """Return -A * f(ratio) of every token."""
        ratio_BT = signal.log_ratio_BT.exp()
        pos_BT = signal.advantage_BT > 0
        tau_BT = torch.where(pos_BT, self.tau_pos, self.tau_neg).to(ratio_BT.dtype)
        gate_BT = torch.sigmoid(tau_BT * (ratio_BT - 1)) * (4 / tau_BT)
        return Surrogate(-signal.advantage_BT * gate_BT, torch.zeros_like(pos_BT))


@register("sapo")
def sapo(
    *,
    eps: float = 1e-6,
    std: Literal["sample", "population"] = "sample",
    loss: SoftGateLoss = SoftGateLoss(),
) -> Algorithm:
    """GRPO's advantage, and a soft gate in place of the clip.

    Args:
        eps: added to the standard deviation
        std: sample divides by n - 1, population by n
    """
    parts = {"without its loss": {"algo": "grpo"}}
    return replace(grpo(eps=eps, std=std), name="sapo", loss=loss, ablations=parts)
