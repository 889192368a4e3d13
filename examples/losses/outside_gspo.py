"""GSPO from outside: a loss with one ratio for a whole response, and an algorithm that has it."""

from dataclasses import dataclass, replace

from mssr_rl import register_algorithm, register_loss
from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.loss import Aggregate, PolicyLoss, Signal, Surrogate, clipped_surrogate


@register_loss("outside_gspo")
@dataclass(frozen=True, kw_only=True)
class OutsideGspo(PolicyLoss):
    """The clipped surrogate with the geometric mean of a response's ratios.

    Args:
        clip_low: the ratio is clipped at 1 - clip_low
        clip_high: and at 1 + clip_high
    """

    aggregate: Aggregate = "seq-mean-token-mean"
    clip_low: float = 3e-4
    clip_high: float = 4e-4

    def surrogate(self, signal: Signal) -> Surrogate:
        """Every token's loss: the value is the response's, the gradient its own."""
        mean_B1 = signal.response_mean(signal.log_ratio_BT).detach()
        own_BT = signal.logprob_BT - signal.logprob_BT.detach()
        ratio_BT = (mean_B1 + own_BT).exp()
        return clipped_surrogate(ratio_BT, signal.advantage_BT, self.clip_low, self.clip_high)


@register_algorithm("outside_gspo")
def outside_gspo(*, loss: OutsideGspo = OutsideGspo()) -> Algorithm:
    """GRPO's advantage under GSPO's loss."""
    return replace(algorithms.make("grpo"), name="outside_gspo", loss=loss)
