"""SAPO from outside: a sigmoid gate in place of the clip."""

from dataclasses import dataclass, replace

import torch

from mssr_rl import register_algorithm, register_loss
from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.loss import Aggregate, PolicyLoss, Signal, Surrogate


@register_loss("outside_sapo")
@dataclass(frozen=True, kw_only=True)
class OutsideSapo(PolicyLoss):
    """-A * sigmoid(tau * (ratio - 1)) * 4 / tau.

    Args:
        tau_pos: how fast the gate closes where A > 0
        tau_neg: and where A <= 0
    """

    aggregate: Aggregate = "seq-mean-token-mean"
    tau_pos: float = 1.0
    tau_neg: float = 1.05

    def surrogate(self, signal: Signal) -> Surrogate:
        """Every token's loss; nothing is clipped."""
        ratio_BT, a_BT = signal.log_ratio_BT.exp(), signal.advantage_BT
        tau_BT = torch.where(a_BT > 0, self.tau_pos, self.tau_neg).to(ratio_BT.dtype)
        gate_BT = torch.sigmoid(tau_BT * (ratio_BT - 1)) * 4 / tau_BT
        return Surrogate(-a_BT * gate_BT, torch.zeros_like(a_BT, dtype=torch.bool))


@register_algorithm("outside_sapo")
def outside_sapo(*, loss: OutsideSapo = OutsideSapo()) -> Algorithm:
    """GRPO's advantage under SAPO's loss."""
    return replace(algorithms.make("grpo"), name="outside_sapo", loss=loss)
