"""GSPO: one ratio for a whole response, the geometric mean of its tokens'. arXiv 2507.18071.

    s_i      = exp(mean over the tokens of response i of (lp - lp_old))
    s_{i,t}  = stop(s_i) * p_t / stop(p_t)              so that every token has its own gradient
    loss     = max(-A * s_{i,t}, -A * clip(s_{i,t}, 1 - clip_low, 1 + clip_high))

The loss is averaged over a response's tokens, then over responses. A mean of log-ratios is small,
so the clip is narrow. If all tokens of a response have one advantage, this is the paper's sequence
form, in value and gradient. With advantages per token it is its GSPO-token. The advantage is
GRPO's.

Elsewhere: verl has the same form and bounds log s at 10 (as here). TRL has it as
importance_sampling_level=sequence, without a bound.
"""

from dataclasses import dataclass, replace
from typing import Literal

from mssr_rl.algos.algorithm import Algorithm, register
from mssr_rl.algos.grpo import grpo
from mssr_rl.loss import Aggregate, PolicyLoss, Signal, Surrogate, clipped_surrogate, register_loss
from mssr_rl.options import require

LOG_RATIO_LIMIT = 10.0  # verl's


@register_loss("gspo")
@dataclass(frozen=True, kw_only=True)
class SequenceRatioLoss(PolicyLoss):
    """The clipped surrogate with one length-normalised ratio for a whole response.

    Args:
        clip_low: the ratio is clipped at 1 - clip_low from below
        clip_high: the ratio is clipped at 1 + clip_high from above
    """

    aggregate: Aggregate = "seq-mean-token-mean"
    clip_low: float = 3e-4
    clip_high: float = 4e-4

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 <= self.clip_low <= 1, "clip_low", self.clip_low, "between 0 and 1")
        require(self.clip_high >= 0, "clip_high", self.clip_high, "at least 0")

    def surrogate(self, signal: Signal) -> Surrogate:
        """Return every token's loss, with the ratio of its response."""
        log_ratio_B1 = signal.response_mean(signal.log_ratio_BT).detach()
        own_BT = signal.logprob_BT - signal.logprob_BT.detach()  # 0, with the token's gradient
        ratio_BT = (log_ratio_B1 + own_BT).clamp(max=LOG_RATIO_LIMIT).exp()
        return clipped_surrogate(ratio_BT, signal.advantage_BT, self.clip_low, self.clip_high)


@register("gspo")
def gspo(
    *,
    eps: float = 1e-6,
    std: Literal["sample", "population"] = "sample",
    loss: SequenceRatioLoss = SequenceRatioLoss(),
) -> Algorithm:
    """GRPO's advantage, and one length-normalised ratio for a whole response.

    Args:
        eps: added to the standard deviation
        std: sample divides by n - 1, population by n
    """
    parts = {"without its loss": {"algo": "grpo"}}
    return replace(grpo(eps=eps, std=std), name="gspo", loss=loss, ablations=parts)
