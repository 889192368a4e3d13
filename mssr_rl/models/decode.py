"""Sample responses of Qwen2.5-VL with a key-value cache, one token at a time for all rows.

A row is one rollout; rows that have ended are removed from the block. For small models on a CPU,
one call of compiled code does all of this (`responses.py`).

The caller gives a uniform random number u[b, t] for token t of rollout b. This number alone decides
the draw (`vocabulary.draw`). So a rollout does not depend on which other rows are still running.

Shapes: P prompts, G rollouts a prompt, B = P * G, A rows still running, T tokens, V vocabulary.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mssr_rl.engine_protocol import Sampling
from mssr_rl.models import fused, lean
from mssr_rl.models.responses import Compiled
from mssr_rl.models.sampled import DrawnTokens, Sampled, together
from mssr_rl.models.vocabulary import Vocabulary, draw, drawable

if TYPE_CHECKING:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VLForConditionalGeneration,
    )


class _Running(NamedTuple):
    """The rows that are still sampled: the index of their rollout, and their keys and values."""

    row_A: Tensor
    going_A: Tensor  # bool; an ended row may stay for a while, and its tokens are dropped
    layers: list[tuple[Tensor, Tensor]]  # A K (L + T) H, written as tokens come
    mask_AL: Tensor  # which keys are real, `lean.additive`
    position_A: Tensor
    prompt_length: int


@torch.no_grad()
def sample(
    model: "Qwen2_5_VLForConditionalGeneration",
    reading: lean.Reading,
    sampling: Sampling,
    uniform_BT: Tensor,
) -> Sampled:
    """Return B = len(uniform_BT) sampled responses, the same number for each prompt."""
    vocabulary = Vocabulary.of(model)
    serves = drawable(sampling) and fused.usable(*_tensors(reading))
    compiled = Compiled.of(model) if serves else None
    if compiled is None:
        sampled = _token_by_token(model, reading, vocabulary, sampling, uniform_BT)
    else:
        sampled = compiled.responses(reading, vocabulary, sampling, uniform_BT)
    if sampling.scored:
        return sampled
    return sampled._replace(
        logprob_BT=torch.zeros_like(sampled.mask_BT),
        entropy_BT=torch.zeros_like(sampled.mask_BT),
    )


def _tensors(reading: lean.Reading) -> Iterator[Tensor]:
    cache, last_PD = reading
    yield last_PD
    for layer in cache.layers:
        yield from layer


def _token_by_token(
    model: "Qwen2_5_VLForConditionalGeneration",
    reading: lean.Reading,
    vocabulary: Vocabulary,
    sampling: Sampling,
    uniform_BT: Tensor,
) -> Sampled:
    """Return sampled responses; each step draws one token for all running rows, with torch."""
    cache, last_PD = reading
    b, limit = uniform_BT.shape
    group_size = b // last_PD.shape[0]
    running = start(cache, group_size, limit)
    hidden_AD = last_PD.repeat_interleave(group_size, 0)
    drawn: list[DrawnTokens] = []
    for t in range(limit):
        logits_AV = F.linear(hidden_AD, model.lm_head.weight)
        token_A, scores = draw(logits_AV, uniform_BT[running.row_A, t], vocabulary, sampling)
        drawn.append(DrawnTokens(running.row_A, running.going_A, token_A, *scores))
        running = running._replace(going_A=running.going_A & ~torch.isin(token_A, vocabulary.end))
        if t == limit - 1 or not running.going_A.any():
            break
        running, token_A = _compact(running, token_A, t)
        hidden_AD = advance(model, (running, token_A), t)
    return together(drawn, b, vocabulary)


def start(cache: lean.Cache, group_size: int, limit: int) -> _Running:
    """Return one row for each rollout, with a copy of its prompt's keys and values.

    The copies have room for the keys and values of `limit` response tokens.
    """

    def grow(x_PKLH: Tensor) -> Tensor:
        p, heads, length, size = x_PKLH.shape
        # Not zeros: `advance` writes a place before it reads it, and cuts off the places behind
        # it.
        room = x_PKLH.new_empty(p, group_size, heads, length + limit, size)
        room[:, :, :, :length] = x_PKLH[:, None]
        return room.flatten(0, 1)

    mask_AL = F.pad(cache.mask_PL.repeat_interleave(group_size, 0), (0, limit), value=True)
    position_A = cache.next_position_P.repeat_interleave(group_size)
    row_A = torch.arange(len(position_A), device=position_A.device)
    layers = [(grow(k), grow(v)) for k, v in cache.layers]
    going_A = torch.ones_like(row_A, dtype=torch.bool)
    hidden_AL = lean.additive(mask_AL, layers[0][0].dtype)
    return _Running(row_A, going_A, layers, hidden_AL, position_A, cache.mask_PL.shape[1])


def _compact(running: _Running, token_A: Tensor, t: int) -> tuple[_Running, Tensor]:
    """Remove ended rows once they are a sixteenth of the block.

    The last running rows are moved to the places of the ended ones. Returns the rows and their
    tokens, in the new order.
    """
    going_A = running.going_A
    left = int(going_A.sum())
    if left > 15 / 16 * len(token_A):
        return running, token_A
    hole, mover = (~going_A[:left]).nonzero()[:, 0], left + going_A[left:].nonzero()[:, 0]
    from_A = torch.arange(left, device=mover.device).index_put((hole,), mover)

    def close(x: Tensor) -> Tensor:
        """Return the tensor without ended rows. It is changed in place, as nothing else uses it."""
        x[hole, :, : running.prompt_length + t] = x[mover, :, : running.prompt_length + t]
        return x[:left]

    smaller = running._replace(
        row_A=running.row_A[from_A],
        going_A=going_A[from_A],
        layers=[(close(k), close(v)) for k, v in running.layers],
        mask_AL=running.mask_AL[from_A],
        position_A=running.position_A[from_A],
    )
    return smaller, token_A[from_A]


def advance(
    model: "Qwen2_5_VLForConditionalGeneration", fed: tuple[_Running, Tensor], t: int
) -> Tensor:
    """Run the model on response token t of every row.

    Returns the hidden states A D that predict the next token.
    """
    text, (running, token_A) = model.model.language_model, fed
    x = text.embed_tokens(token_A)
    rotary = lean.response_rotary(model, running.position_A + t)
    here = running.prompt_length + t
    mask = running.mask_AL[:, None, None, : here + 1]
    for layer, (keys, values) in zip(text.layers, running.layers, strict=True):
        q, k, v = lean.project(layer, x, rotary)
        keys[:, :, here] = k
        values[:, :, here] = v
        so_far = keys[:, :, : here + 1], values[:, :, : here + 1]
        x = lean.finish(layer, x, lean.attend(q[:, :, None], *so_far, mask)[:, 0])
    return fused.norm(text.norm, x)
