"""Sampling with a key-value cache: one token a row at a time, finished rows leave the block.

Every draw is decided by a uniform number given from outside, u[b, t] for token t of rollout b
(`vocabulary.draw`). So a rollout depends on its own numbers only,
not on which others are still running.

Shapes: P prompts, G rollouts a prompt, B = P * G, A rows still running, T tokens, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mssr_rl.engine.base import Sampling
from mssr_rl.models import fused, lean
from mssr_rl.models.layers import Layers, Seen
from mssr_rl.models.vocabulary import Vocabulary, draw


class Sampled(NamedTuple):
    """Responses, and what the policy thought of every token when it chose it."""

    token_BT: Tensor
    mask_BT: Tensor  # float32
    logprob_BT: Tensor
    entropy_BT: Tensor
    truncated_B: Tensor


class _Running(NamedTuple):
    """The rows in the block: which rollouts they are, and their keys and values."""

    row_A: Tensor
    going_A: Tensor  # bool; an ended row may stay a while, what it samples is dropped
    layers: list[tuple[Tensor, Tensor]]  # A K (L + T) H, written as tokens come
    length_A: Tensor  # of the prompts, padded to `prompt_length`
    mask_AL: Tensor  # the same for torch's attention, `lean.additive`
    position_A: Tensor
    prompt_length: int


@torch.no_grad()
def sample(
    model: Any,
    reading: lean.Reading,
    sampling: Sampling,
    uniform_BT: Tensor,
) -> Sampled:
    """Sample B = len(uniform_BT) responses, the same number for each prompt."""
    (cache, last_PD), vocabulary = reading, Vocabulary.of(model)
    b, limit = uniform_BT.shape
    group_size = b // last_PD.shape[0]
    running = _start(cache, group_size, limit)
    layers = Layers.of_text(model.model.language_model)
    hidden_AD = last_PD.repeat_interleave(group_size, 0)
    drawn: list[_Drawn] = []
    for t in range(limit):
        logits_AV = F.linear(hidden_AD, model.lm_head.weight)
        token_A, scores = draw(logits_AV, uniform_BT[running.row_A, t], vocabulary, sampling)
        drawn.append(_Drawn(running.row_A, running.going_A, token_A, *scores))
        running = running._replace(going_A=running.going_A & ~torch.isin(token_A, vocabulary.end))
        if t == limit - 1 or not running.going_A.any():
            break
        running, token_A = _compact(running, token_A, t)
        hidden_AD = _advance(model, layers, (running, token_A), t)
    sampled = _together(drawn, b, vocabulary)
    if sampling.scored:
        return sampled
    return sampled._replace(
        logprob_BT=torch.zeros_like(sampled.mask_BT),
        entropy_BT=torch.zeros_like(sampled.mask_BT),
    )


class _Drawn(NamedTuple):
    """What one step drew, for the rows of its block."""

    row_A: Tensor
    going_A: Tensor
    token_A: Tensor
    logprob_A: Tensor
    entropy_A: Tensor


def _together(drawn: Sequence[_Drawn], b: int, vocabulary: Vocabulary) -> Sampled:
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


def _start(cache: lean.Cache, group_size: int, limit: int) -> _Running:
    """Copy each prompt's keys and values to its rollouts, with room for their tokens."""

    def grow(x_PKLH: Tensor) -> Tensor:
        p, heads, length, size = x_PKLH.shape
        room = x_PKLH.new_empty(p, group_size, heads, length + limit, size)
        room[:, :, :, :length] = x_PKLH[:, None]
        return room.flatten(0, 1)

    mask_AL = F.pad(cache.mask_PL.repeat_interleave(group_size, 0), (0, limit), value=True)
    position_A = cache.next_position_P.repeat_interleave(group_size)
    row_A = torch.arange(len(position_A), device=position_A.device)
    layers = [(grow(k), grow(v)) for k, v in cache.layers]
    going_A = torch.ones_like(row_A, dtype=torch.bool)
    hidden_AL = lean.additive(mask_AL, layers[0][0].dtype)
    length_A = cache.mask_PL.sum(1).repeat_interleave(group_size)
    return _Running(row_A, going_A, layers, length_A, hidden_AL, position_A, cache.mask_PL.shape[1])


def _compact(running: _Running, token_A: Tensor, t: int) -> tuple[_Running, Tensor]:
    """Once a sixteenth of the block's rows have ended, the last going ones take their places."""
    going_A = running.going_A
    left = int(going_A.sum())
    if left > 15 / 16 * len(token_A):
        return running, token_A
    hole, mover = (~going_A[:left]).nonzero()[:, 0], left + going_A[left:].nonzero()[:, 0]
    from_A = torch.arange(left, device=mover.device).index_put((hole,), mover)

    def close(x: Tensor) -> Tensor:
        """In place, nobody else has them; later places are not written yet."""
        x[hole, :, : running.prompt_length + t] = x[mover, :, : running.prompt_length + t]
        return x[:left]

    smaller = running._replace(
        row_A=running.row_A[from_A],
        going_A=going_A[from_A],
        layers=[(close(k), close(v)) for k, v in running.layers],
        length_A=running.length_A[from_A],
        mask_AL=running.mask_AL[from_A],
        position_A=running.position_A[from_A],
    )
    return smaller, token_A[from_A]


def _advance(model: Any, layers: Layers | None, fed: tuple[_Running, Tensor], t: int) -> Tensor:
    """Feed response token t of every row; A D hidden states that predict the next."""
    text, (running, token_A) = model.model.language_model, fed
    x = text.embed_tokens(token_A)
    rotary = lean.response_rotary(model, running.position_A + t)
    here = running.prompt_length + t
    if layers is not None and fused.usable(x):
        seen = Seen(running.length_A, running.prompt_length, here + 1)
        return fused.norm(text.norm, layers.step(x, rotary, running.layers, seen))
    mask = running.mask_AL[:, None, None, : here + 1]
    for layer, (keys, values) in zip(text.layers, running.layers, strict=True):
        q, k, v = lean.project(layer, x, rotary)
        keys[:, :, here] = k
        values[:, :, here] = v
        so_far = keys[:, :, : here + 1], values[:, :, : here + 1]
        x = lean.finish(layer, x, lean.attend(q[:, :, None], *so_far, mask)[:, 0])
    return fused.norm(text.norm, x)
