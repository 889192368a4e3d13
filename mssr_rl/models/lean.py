"""Qwen2.5-VL's forward pass in two stages, with the weights of transformers' model.

    reading = read_prompts(model, prompts)               once per problem: picture and question
    hidden = follow(model, cache, response, group_size)  once per rollout, after its prompt

The result is that of `Qwen2_5_VLForConditionalGeneration.forward`; a test compares the two to 1e-4.
Pictures of one size are one batch. Rollouts share the prompt of their problem, in training too.
Only attention uses padded blocks; all other operations get the real tokens without padding. All of
it is differentiable. arXiv:2502.13923.

Shapes: P prompts, G rollouts a prompt, B = P * G, L prompt tokens, T response tokens, N real tokens
of a block, D hidden, K key-value heads, Q query heads, H values a head.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mssr_rl.models import fused
from mssr_rl.models.encode import PromptBlock
from mssr_rl.models.fused import Before, PackedSequences, Rotary, mlp, norm, rotate
from mssr_rl.models.layers import Layers
from mssr_rl.models.recompute import run
from mssr_rl.models.see import see

if TYPE_CHECKING:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VLAttention,
        Qwen2_5_VLDecoderLayer,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLTextModel,
    )


class Cache(NamedTuple):
    """The keys and values of P prompts in every layer, and the mask of the real tokens."""

    layers: tuple[tuple[Tensor, Tensor], ...]  # each P K L H
    mask_PL: Tensor  # bool
    next_position_P: Tensor


class Real(NamedTuple):
    """The places of the N real tokens of a padded block."""

    shape: torch.Size  # of the block
    place_N: Tensor  # indices into the flattened block

    @classmethod
    def of(cls, real_BT: Tensor) -> "Real":
        """Return the places of the real tokens in a block with this mask."""
        return cls(real_BT.shape, real_BT.flatten().nonzero()[:, 0])

    def rows(self, block: Tensor) -> Tensor:
        """Return the real tokens of a block without padding, shape [N, ...]."""
        return block.flatten(0, 1).index_select(0, self.place_N)

    def block(self, rows: Tensor) -> Tensor:
        """Return the block with N real tokens at their places, and zeros at padding."""
        empty = rows.new_zeros(self.shape.numel(), *rows.shape[1:])
        return empty.index_copy(0, self.place_N, rows).view(*self.shape, *rows.shape[1:])


Reading = tuple[Cache, Tensor]  # and the last hidden state of each prompt, P D


def read_prompts(
    model: "Qwen2_5_VLForConditionalGeneration", prompts: PromptBlock, *, recompute: bool = False
) -> Reading:
    """Run the model on P prompts.

    Returns their keys and values, and the last hidden state of each prompt, P D. Padding is on the
    right, so causal attention never reaches it.
    """
    text, real = model.model.language_model, Real.of(prompts.mask_PL)
    x = real.rows(_embed(model, prompts, recompute=recompute))
    rotary = text_rotary(model, prompts.position_3PL.flatten(1)[:, real.place_N])
    free = not torch.is_grad_enabled() and fused.usable(x)
    if free and (compiled := Layers.of_text(text)):
        lengths, width = prompts.mask_PL.sum(1).tolist(), prompts.mask_PL.shape[1]
        layers, last = compiled.read(x, rotary, lengths, width)
    else:
        layers, last = _read_by_layer(text, (x, rotary), (real, prompts.mask_PL), recompute)
    return Cache(layers, prompts.mask_PL, prompts.next_position_P), norm(text.norm, last)


def _read_by_layer(
    text: "Qwen2_5_VLTextModel",
    inputs: tuple[Tensor, Rotary],
    prompts: tuple[Real, Tensor],
    recompute: bool,
) -> tuple[tuple[tuple[Tensor, Tensor], ...], Tensor]:
    """Return the keys and values of every layer, and the output at each prompt's last token.

    Keys and values are P K L H. The output is that of the last layer, P D.
    """
    (x, rotary), (real, mask_PL) = inputs, prompts
    sequences = PackedSequences.of(mask_PL.sum(1))
    layers = []
    for layer in text.layers[:-1]:
        x, k, v = run(_read_layer, layer, x, rotary, (real, sequences), recompute=recompute)
        layers.append((k, v))
    kept, last = _read_last(text.layers[-1], x, rotary, prompts)
    return (*layers, kept), last


def _read_layer(
    layer: "Qwen2_5_VLDecoderLayer",
    x: Tensor,
    rotary: Rotary,
    prompts: tuple[Real, PackedSequences],
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the outputs N D of one layer, and its keys and values P K L H."""
    real, sequences = prompts
    q, *kv = project(layer, x, rotary)
    k, v = (real.block(y).transpose(1, 2) for y in kv)
    if fused.usable(q):
        attended = fused.attend(q, (kv[0], kv[1]), sequences).flatten(1)
    else:
        q = real.block(q).transpose(1, 2)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        attended = real.rows(heads.transpose(1, 2)).flatten(1)
    return finish(layer, x, attended), k, v


def _read_last(
    layer: "Qwen2_5_VLDecoderLayer", x_ND: Tensor, rotary: Rotary, prompts: tuple[Real, Tensor]
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return the last layer's keys and values, and its output at each prompt's last token, P D.

    The outputs at other tokens are not needed. `prompts` is the real tokens' places and mask_PL.
    """
    real, mask_PL = prompts
    last_P = mask_PL.sum(1).cumsum(0) - 1
    normed = norm(layer.input_layernorm, x_ND)
    k, v = (real.block(y).transpose(1, 2) for y in keys_values(layer, normed, rotary))
    q = queries(layer, normed[last_P], (rotary[0][last_P], rotary[1][last_P]))
    attended = attend(q[:, :, None], k, v, additive(mask_PL[:, None, None], x_ND.dtype))
    return (k, v), finish(layer, x_ND[last_P], attended[:, 0])


def part(reading: Reading, rows: slice, length: int | None = None) -> Reading:
    """Return the part of a reading, the result of `read_prompts`, for some prompts, as views.

    If `length` is given, only the first `length` tokens are returned.
    """
    cache, last_PD = reading
    layers = tuple((k[rows, :, :length], v[rows, :, :length]) for k, v in cache.layers)
    return Cache(layers, cache.mask_PL[rows, :length], cache.next_position_P[rows]), last_PD[rows]


class Kept(NamedTuple):
    """The result of `read_prompts` for one prompt of L tokens, in the form for storing."""

    token_LCKH: Tensor  # C: keys of layer 1, values of layer 1, keys of layer 2, ...
    next_position: Tensor
    last_D: Tensor


def apart(reading: Reading) -> list[Kept]:
    """Return the result of `read_prompts` for a block as one result per prompt, without padding."""
    cache, last_PD = reading
    both = torch.stack([x for layer in cache.layers for x in layer], 1)  # P C K L H
    rows = zip(both.permute(0, 3, 1, 2, 4), cache.mask_PL.sum(1).tolist(), strict=True)
    # Copies, because a view would keep the whole padded block in memory.
    tokens = [token_LCKH[:length].contiguous() for token_LCKH, length in rows]
    return list(map(Kept, tokens, cache.next_position_P, last_PD))


def joined(kept: Sequence[Kept]) -> Reading:
    """Return stored results of single prompts as one block, padded to the longest prompt."""
    padded = pad_sequence([one.token_LCKH for one in kept], batch_first=True)  # P L C K H
    keys_values = padded.permute(2, 0, 3, 1, 4)
    length_P = torch.tensor([len(one.token_LCKH) for one in kept], device=padded.device)
    cache = Cache(
        tuple(zip(keys_values[::2], keys_values[1::2], strict=True)),
        torch.arange(padded.shape[1], device=padded.device) < length_P[:, None],
        torch.stack([one.next_position for one in kept]),
    )
    return cache, torch.stack([one.last_D for one in kept])


def follow(
    model: "Qwen2_5_VLForConditionalGeneration",
    cache: Cache,
    response: tuple[Tensor, Tensor],
    group_size: int,
    *,
    recompute: bool = False,
) -> Tensor:
    """Return the hidden states N D of the real response tokens, computed after their prompts.

    `response` is (token_BT, mask_BT), with `group_size` responses for each prompt.
    """
    text, (token_BT, mask_BT) = model.model.language_model, response
    length, real = token_BT.shape[1], Real.of(mask_BT.bool())
    x = text.embed_tokens(real.rows(token_BT))
    start_B1 = cache.next_position_P.repeat_interleave(group_size)[:, None]
    position_N = real.rows(start_B1 + torch.arange(length, device=x.device))
    rotary = response_rotary(model, position_N)
    if fused.usable(x):
        layer_of: Callable[..., Tensor] = _follow_packed
        where: tuple[object, ...] = (PackedSequences.of(mask_BT.sum(1)), cache.mask_PL.sum(1))
    else:
        layer_of, where = _follow_padded, (real, _padded_mask(text, cache, x, real), group_size)
    for layer, before in zip(text.layers, cache.layers, strict=True):
        x = run(layer_of, layer, x, rotary, before, where, recompute=recompute)
    return norm(text.norm, x)


def _follow_packed(
    layer: "Qwen2_5_VLDecoderLayer",
    x: Tensor,
    rotary: Rotary,
    before: tuple[Tensor, Tensor],
    where: tuple[PackedSequences, Tensor],
) -> Tensor:
    """Return the outputs N D of one layer, with compiled attention.

    `before` is the prompts' keys and values, each P K L H.
    """
    sequences, prompt_P = where
    q, k, v = project(layer, x, rotary)
    prompts = Before(before[0].transpose(1, 2), before[1].transpose(1, 2), prompt_P)
    return finish(layer, x, fused.attend(q, (k, v), sequences, prompts).flatten(1))


def _padded_mask(text: "Qwen2_5_VLTextModel", cache: Cache, x: Tensor, real: Real) -> Tensor:
    """Return the additive attention mask of response tokens.

    A token attends to its prompt, and to its response up to itself.
    """
    b, length = real.shape
    group_size = b // len(cache.mask_PL)
    before = cache.mask_PL.repeat_interleave(group_size, 0)[:, None, None, :]
    causal = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
    mask = torch.cat((before.expand(b, 1, length, -1), causal.expand(b, 1, length, length)), dim=-1)
    # `attend` stacks the queries of a key head as rows, so each row of the mask is needed for each.
    return additive(mask, x.dtype).repeat(1, 1, shared_queries(text.layers[0]), 1)


def _follow_padded(
    layer: "Qwen2_5_VLDecoderLayer",
    x: Tensor,
    rotary: Rotary,
    before: tuple[Tensor, Tensor],
    where: tuple[Real, Tensor, int],
) -> Tensor:
    """Return what `_follow_packed` returns, computed with torch's attention on padded blocks."""
    real, mask, group_size = where
    q, k, v = (real.block(y).transpose(1, 2) for y in project(layer, x, rotary))
    k = torch.cat((before[0].repeat_interleave(group_size, 0), k), dim=2)
    v = torch.cat((before[1].repeat_interleave(group_size, 0), v), dim=2)
    return finish(layer, x, real.rows(attend(q, k, v, mask)))


def _embed(
    model: "Qwen2_5_VLForConditionalGeneration", prompts: PromptBlock, *, recompute: bool
) -> Tensor:
    """Return the input embeddings P L D, with picture features in place of image tokens."""
    embedded: Tensor = model.model.language_model.embed_tokens(prompts.token_PL)
    flat = embedded.flatten(0, 1)
    seen_blocks = see(model, prompts.pictures, recompute=recompute)
    for pictures, features in zip(prompts.pictures, seen_blocks, strict=True):
        seen = features.flatten(0, 1).to(flat.dtype)
        flat = flat.index_copy(0, pictures.slot_NK.flatten(), seen)
    return flat.view_as(embedded)


def text_rotary(model: "Qwen2_5_VLForConditionalGeneration", position_3N: Tensor) -> Rotary:
    """Return the cosines and sines of mRoPE for N tokens, each N H/2.

    The angle of a frequency is computed from the temporal, row or column position.
    """
    inverse: Tensor = model.model.language_model.rotary_emb.inv_freq
    sections = torch.tensor(model.config.text_config.rope_parameters["mrope_section"])
    axis = torch.repeat_interleave(torch.arange(3), sections).to(inverse.device)
    angle = position_3N.T[:, axis] * inverse
    return angle.cos(), angle.sin()


def response_rotary(model: "Qwen2_5_VLForConditionalGeneration", position_N: Tensor) -> Rotary:
    """Return the cosines and sines of mRoPE for N response tokens, each N H/2.

    The three positions of a response token are equal.
    """
    inverse: Tensor = model.model.language_model.rotary_emb.inv_freq
    angle = position_N[:, None] * inverse
    return angle.cos(), angle.sin()


def project(
    layer: "Qwen2_5_VLDecoderLayer", x_ND: Tensor, rotary: Rotary
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a layer's queries N Q H, and its keys and values N K H.

    Queries and keys are rotated by their tokens' positions.
    """
    normed = norm(layer.input_layernorm, x_ND)
    # One product for queries, keys and values was tried: no gain (docs/speed.md).
    return queries(layer, normed, rotary), *keys_values(layer, normed, rotary)


def queries(layer: "Qwen2_5_VLDecoderLayer", normed_ND: Tensor, rotary: Rotary) -> Tensor:
    """Return a layer's queries N Q H, rotated by their tokens' positions."""
    return rotate(_heads(layer.self_attn, layer.self_attn.q_proj, normed_ND), rotary)


def keys_values(
    layer: "Qwen2_5_VLDecoderLayer", normed_ND: Tensor, rotary: Rotary
) -> tuple[Tensor, Tensor]:
    """Return a layer's keys, rotated by their tokens' positions, and its values, each N K H."""
    attention = layer.self_attn
    k, v = (_heads(attention, part, normed_ND) for part in (attention.k_proj, attention.v_proj))
    return rotate(k, rotary), v


def _heads(attention: "Qwen2_5_VLAttention", linear: torch.nn.Linear, normed_ND: Tensor) -> Tensor:
    heads: Tensor = linear(normed_ND).view(len(normed_ND), -1, attention.head_dim)
    return heads


def additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return an additive mask: 0 where the bool mask is True, minus infinity elsewhere."""
    # Minus infinity is safe here: padding is not computed, so every query sees at least one key.
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf)


def shared_queries(layer: "Qwen2_5_VLDecoderLayer") -> int:
    """Return the number of query heads that share one key head."""
    groups: int = layer.self_attn.num_key_value_groups
    return groups


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """Return grouped-query attention, shape [B, L, Q H].

    All queries that share a key head are stacked as rows of one product. The additive mask has one
    row for each of them, or one row for all.
    """
    b, heads, length, size = q.shape
    stacked = q.reshape(b, k.shape[1], -1, size)
    # Two plain products with a softmax between them were tried: faster alone, but copies around
    # them ate the gain (docs/speed.md).
    out = F.scaled_dot_product_attention(stacked, k, v, attn_mask=mask)
    return out.view(b, heads, length, size).transpose(1, 2).reshape(b, length, -1)


def finish(layer: "Qwen2_5_VLDecoderLayer", x: Tensor, attended: Tensor) -> Tensor:
    """Return a layer's output, from its input x and its attention's result.

    This adds the output projection of the attention, and then the feed-forward module.
    """
    x = x + layer.self_attn.o_proj(attended)
    return x + mlp(layer.mlp, norm(layer.post_attention_layernorm, x))
