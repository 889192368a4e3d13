"""Importance weights for responses from a sampler whose probabilities differ from the trainer's.

A sampler may round in another way, or use older weights. Its responses then come from a slightly
different policy. The weight p_trainer / p_sampler corrects for this. It has an upper bound and no
gradient, and it is the same for every algorithm.

Shapes: B rollouts, T response tokens.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mssr_rl.loss import LOG_RATIO_BOUND
from mssr_rl.options import require

Method = Literal["none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]


@dataclass(frozen=True, kw_only=True)
class Correction:
    """Which weights the surrogate gets.

    Args:
        method: token: every token's own ratio; sequence: their product, one for a response;
            truncate: a ratio above the cap counts as the cap; mask: it counts as 0; none: weight 1
        cap: the largest ratio
    """

    method: Method = "none"
    cap: float = 2.0

    def __post_init__(self) -> None:
        require(self.cap > 0, "cap", self.cap, "above 0")


def correction_weights(
    old_BT: Tensor, sampler_BT: Tensor, mask_BT: Tensor, correction: Correction
) -> Tensor:
    """Return the importance weights [B, T], from log-probabilities [nat].

    The weights are 1 outside the responses.
    """
    if correction.method == "none":
        return torch.ones_like(old_BT)
    # Padding has no probability under the sampler; a 0 there keeps the sum over a response right.
    difference_BT = (old_BT - sampler_BT).masked_fill(mask_BT == 0, 0)
    if correction.method.startswith("sequence"):
        difference_BT = difference_BT.sum(1, keepdim=True).expand_as(difference_BT)
    ratio_BT = difference_BT.clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).exp()
    if correction.method.endswith("truncate"):
        # Truncation is biased but keeps every sample; a mask gives up samples that are far off.
        return ratio_BT.clamp(max=correction.cap)
    return ratio_BT.masked_fill(ratio_BT > correction.cap, 0)
