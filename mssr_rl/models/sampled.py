"""A block of sampled responses: what `decode` and `responses` give, and what is done with it.

Shapes: B rollouts, T tokens.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mssr_rl.models.vocabulary import Vocabulary


class Sampled(NamedTuple):
    """Responses, and what the policy thought of every token when it chose it."""

    token_BT: Tensor
    mask_BT: Tensor  # float32
    logprob_BT: Tensor
    entropy_BT: Tensor
    truncated_B: Tensor


class DrawnTokens(NamedTuple):
    """What one step drew, for the A rows of its block that are still running."""

    row_A: Tensor
    going_A: Tensor  # bool; an ended row may stay a while, what it samples is dropped
    token_A: Tensor
    logprob_A: Tensor
    entropy_A: Tensor


def together(drawn: Sequence[DrawnTokens], b: int, vocabulary: Vocabulary) -> Sampled:
    """All steps side by side; what ended rows drew is dropped."""
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
