"""A block of sampled responses: what `decode` and `responses` give, and what is done with it.

Shapes: B rollouts, T tokens.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Sampled(NamedTuple):
    """Responses, and what the policy thought of every token when it chose it."""

    token_BT: Tensor
    mask_BT: Tensor  # float32
    logprob_BT: Tensor
    entropy_BT: Tensor
    truncated_B: Tensor


def stacked(parts: Sequence[Sampled]) -> Sampled:
    """One block out of several, as wide as the longest response; padding is 0, masked out."""
    width = max(part.token_BT.shape[1] for part in parts)
    wide = [Sampled(*(widen(x, width) if x.ndim == 2 else x for x in part)) for part in parts]
    return Sampled(*(torch.cat(column).cpu() for column in zip(*wide, strict=True)))


def texts(tokenizer: Any, sampled: Sampled) -> list[str]:
    """What the real tokens say, special ones removed; what a block is padded with may be a word."""
    lengths = sampled.mask_BT.sum(1).int().tolist()
    rows = [row[:length] for row, length in zip(sampled.token_BT.tolist(), lengths, strict=True)]
    decoded: list[str] = tokenizer.batch_decode(rows, skip_special_tokens=True)
    return decoded


def widen(x_BT: Tensor, width: int) -> Tensor:
    """With zeros on the right."""
    return F.pad(x_BT, (0, width - x_BT.shape[1]))
