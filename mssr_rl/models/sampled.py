"""Blocks of sampled responses, and operations on them.

Shapes: B rollouts, T tokens.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mssr_rl.models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Sampled(NamedTuple):
    """B responses, with the log-probability and entropy of every token when it was sampled."""

    token_BT: Tensor
    mask_BT: Tensor  # float32
    logprob_BT: Tensor
    entropy_BT: Tensor
    truncated_B: Tensor


class DrawnTokens(NamedTuple):
    """The tokens that one sampling step drew, one for each of the A rows still in the block."""

    row_A: Tensor
    going_A: Tensor  # bool; an ended row may stay for a while, and its tokens are dropped
    token_A: Tensor
    logprob_A: Tensor
    entropy_A: Tensor


def together(drawn: Sequence[DrawnTokens], b: int, vocabulary: Vocabulary) -> Sampled:
    """Return the tokens of all sampling steps as one block of `b` responses.

    Tokens that were drawn for rows after their end are dropped.
    """
    counts = torch.tensor([len(step.row_A) for step in drawn], device=drawn[0].row_A.device)
    step_N = torch.arange(len(drawn), device=counts.device).repeat_interleave(counts)
    row_N, going_N, token_N, logprob_N, entropy_N = map(torch.cat, zip(*drawn, strict=True))
    place = row_N[going_N], step_N[going_N]

    def block(x_N: Tensor, padding: float) -> Tensor:
        return x_N.new_full((b, len(drawn)), padding).index_put(place, x_N[going_N])

    ended_B = block(torch.isin(token_N, vocabulary.end), padding=False).any(1)
    return Sampled(
        block(token_N, vocabulary.pad),
        block(going_N, padding=False).float(),
        block(logprob_N, 0),
        block(entropy_N, 0),
        ~ended_B,
    )


def stacked(parts: Sequence[Sampled]) -> Sampled:
    """Return several blocks as one block on the CPU, padded to the longest response.

    The added padding is 0, and its mask is 0.
    """
    width = max(part.token_BT.shape[1] for part in parts)
    wide = [Sampled(*(widen(x, width) if x.ndim == 2 else x for x in part)) for part in parts]
    return Sampled(*(torch.cat(column).cpu() for column in zip(*wide, strict=True)))


def texts(tokenizer: "PreTrainedTokenizerBase", sampled: Sampled) -> list[str]:
    """Return the responses as texts, without special tokens and padding.

    Padding is removed by the mask, because the padding token may be an ordinary token.
    """
    lengths = sampled.mask_BT.sum(1).int().tolist()
    rows = [row[:length] for row, length in zip(sampled.token_BT.tolist(), lengths, strict=True)]
    decoded: list[str] = tokenizer.batch_decode(rows, skip_special_tokens=True)
    return decoded


def widen(x_BT: Tensor, width: int) -> Tensor:
    """Return the tensor with zeros added on the right, up to `width` columns."""
    return F.pad(x_BT, (0, width - x_BT.shape[1]))
