"""CISPO from outside: the importance weight is clipped, and no token loses its gradient."""

from dataclasses import dataclass, replace

from mssr_rl import register_algorithm, register_loss
from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.loss import PolicyLoss, Signal, Surrogate


@register_loss("outside_cispo")
@dataclass(frozen=True, kw_only=True)
class OutsideCispo(PolicyLoss):
    """-stop(clip(ratio)) * A * log p.

    Args:
        clip_high: the weight is at most 1 + clip_high
    """

    kl_coef: float = 0.0
    clip_high: float = 4.0

    def surrogate(self, signal: Signal) -> Surrogate:
        """Return every token's loss."""
        ratio_BT = signal.log_ratio_BT.detach().exp()
        weight_BT = ratio_BT.clamp(max=1 + self.clip_high)
        token_loss_BT = -weight_BT * signal.advantage_BT * signal.logprob_BT
        return Surrogate(token_loss_BT, weight_BT != ratio_BT)


@register_algorithm("outside_cispo")
def outside_cispo(*, loss: OutsideCispo = OutsideCispo()) -> Algorithm:
    """GRPO's advantage under CISPO's loss."""
    return replace(algorithms.make("grpo"), name="outside_cispo", loss=loss)
