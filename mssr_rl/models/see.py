"""The vision tower of Qwen2.5-VL, with the weights of transformers' model.

It is the first part of `lean`'s forward pass, and differentiable. Pictures of one size are one
batch. The result is that of the vision tower of `Qwen2_5_VLForConditionalGeneration`
(arXiv:2502.13923).

Shapes: N pictures, S patches a picture, C values of a patch, D hidden.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.vision_utils import get_vision_window_index

from mssr_rl.models import fused
from mssr_rl.models.fused import PackedSequences, Rotary, mlp, norm, rotate
from mssr_rl.models.layers import Layers, Linear, weight_of
from mssr_rl.models.patches import Pictures
from mssr_rl.models.recompute import run

if TYPE_CHECKING:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VisionTransformerPretrainedModel,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLVisionBlock,
    )


def see(
    model: "Qwen2_5_VLForConditionalGeneration",
    blocks: Sequence[Pictures],
    *,
    recompute: bool = False,
) -> list[Tensor]:
    """Return the picture features of each block, each of shape [N, image tokens, D].

    All pictures of a block have one size. With `recompute`, the backward pass computes activations
    of the layers again.
    """
    visual = model.model.visual
    windowed = len(visual.fullatt_block_indexes) < len(visual.blocks)
    free = blocks and not windowed and not torch.is_grad_enabled()
    compiled = Layers.of_vision(visual) if free else None
    if windowed:
        return [_see_windowed(visual, pictures, recompute=recompute) for pictures in blocks]
    return [_see_whole(visual, pictures, compiled, recompute=recompute) for pictures in blocks]


def _see_whole(
    visual: "Qwen2_5_VisionTransformerPretrainedModel",
    pictures: Pictures,
    compiled: Layers | None,
    *,
    recompute: bool,
) -> Tensor:
    n, patches = len(pictures.pixel_NCHW), pictures.patches
    x = _embedded(visual, pictures, compiled)
    one = _patch_rotary(visual, pictures.grid)
    rotary = one[0].repeat(n, 1), one[1].repeat(n, 1)
    if compiled is not None and fused.usable(x):
        x = compiled.see(x, rotary, [patches] * n)
    else:
        apart = AttentionParts.of(torch.full((n,), patches))
        for block in visual.blocks:
            x = run(_layer, block, x, rotary, apart, recompute=recompute)
    merged = _merged(visual, x, compiled)
    return merged.view(n, -1, merged.shape[-1])


def _see_windowed(
    visual: "Qwen2_5_VisionTransformerPretrainedModel", pictures: Pictures, *, recompute: bool
) -> Tensor:
    """Return the features of pictures from a tower with window attention.

    Patches are put in the order of their windows, so that all windows of one size are one call.
    """
    n, device = len(pictures.pixel_NCHW), pictures.pixel_NCHW.device
    merge, unit = visual.spatial_merge_size, visual.spatial_merge_unit
    order_M, bounds = get_vision_window_index(
        torch.tensor([[1, *pictures.grid]] * n), merge, visual.window_size, visual.patch_size
    )
    order_S = (order_M[:, None] * unit + torch.arange(unit)).flatten().to(device)
    windows = AttentionParts.of(bounds.diff().long()).to(device)
    whole = AttentionParts.of(torch.full((n,), pictures.patches)).to(device)
    one = _patch_rotary(visual, pictures.grid)
    rotary = one[0].repeat(n, 1)[order_S], one[1].repeat(n, 1)[order_S]
    x = _embedded(visual, pictures, None)[order_S]
    for number, block in enumerate(visual.blocks):
        parts = whole if number in visual.fullatt_block_indexes else windows
        x = run(_layer, block, x, rotary, parts, recompute=recompute)
    merged = _merged(visual, x, None)
    return merged[order_M.argsort().to(device)].view(n, -1, merged.shape[-1])


def _merged(
    visual: "Qwen2_5_VisionTransformerPretrainedModel", x: Tensor, compiled: Layers | None
) -> Tensor:
    """Return the features of all image tokens, from the patches, which the merger joins."""
    merger = visual.merger
    merged = norm(merger.ln_q, x).view(-1, merger.hidden_size)
    first, gelu, second = merger.mlp
    if compiled is None:
        projected: Tensor = second(gelu(first(merged)))
        return projected
    return _frozen(second, gelu(_frozen(first, merged)))


def _embedded(
    visual: "Qwen2_5_VisionTransformerPretrainedModel", pictures: Pictures, compiled: Layers | None
) -> Tensor:
    """Return the embedded patches of all pictures, shape [N * S, D]."""
    kernel = visual.patch_embed.proj.weight  # D, channels, frames, side, side
    # A still picture is equal in all frames, so the sum of the kernel over frames needs one frame
    # only.
    weight = kernel.sum(2).flatten(1)
    if compiled is None:
        return F.linear(pictures.cut().to(kernel.dtype), weight).flatten(0, 1)
    embed = Linear.of(weight)
    return torch.cat([embed(part.cut()) for part in pictures.parts()]).flatten(0, 1)


def _frozen(linear: torch.nn.Linear, x: Tensor) -> Tensor:
    return Linear.of(weight_of(linear), linear.bias)(x)


class AttentionParts(NamedTuple):
    """Sequences of patches, each of which attends to itself only: pictures or windows."""

    sequences: PackedSequences
    rows: tuple[Tensor, ...]  # for each length, the patches of its sequences: sequences, length

    @classmethod
    def of(cls, length_B: Tensor) -> "AttentionParts":
        """Return sequences of these lengths, one after the other."""
        sequences = PackedSequences.of(length_B)
        rows = [
            sequences.first_B[length_B == length][:, None] + torch.arange(length)
            for length in sorted(set(length_B.tolist()))
        ]
        return cls(sequences, tuple(rows))

    def to(self, device: torch.device) -> "AttentionParts":
        """Return the same sequences on another device."""
        sequences = PackedSequences(*(x.to(device) for x in self.sequences))
        return AttentionParts(sequences, tuple(x.to(device) for x in self.rows))


def _layer(
    block: "Qwen2_5_VLVisionBlock", x: Tensor, rotary: Rotary, parts: AttentionParts
) -> Tensor:
    """Return the outputs of one layer for all patches."""
    qkv = block.attn.qkv(norm(block.norm1, x)).view(len(x), 3, block.attn.num_heads, -1)
    q, k, v = qkv.unbind(1)
    q, k = rotate(q, rotary), rotate(k, rotary)
    x = x + block.attn.proj(_within(parts, q, k, v))
    return x + mlp(block.mlp, norm(block.norm2, x))


def _within(parts: AttentionParts, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return attention in which patches attend to patches of their own sequence.

    The result has one row for each patch, with the outputs of all heads.
    """
    if fused.usable(q):
        return fused.attend(q, (k, v), parts.sequences, causal=False).flatten(1)
    if len(parts.rows) == 1:  # in their order already
        return _of_one_length((q, k, v), parts.rows[0].shape)
    done = torch.cat(
        [_of_one_length([y[r.flatten()] for y in (q, k, v)], r.shape) for r in parts.rows]
    )
    return done[torch.cat([r.flatten() for r in parts.rows]).argsort()]


def _of_one_length(qkv: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """Return attention within sequences of one length; `shape` is their number and length."""
    q, k, v = (y.unflatten(0, tuple(shape)).transpose(1, 2) for y in qkv)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1).flatten(1)


def _patch_rotary(
    visual: "Qwen2_5_VisionTransformerPretrainedModel", grid: tuple[int, int]
) -> Rotary:
    """Return the cosines and sines of the angles of each patch's row and column.

    The patches are in the order of the merged 2 x 2 blocks.
    """
    merge, (down, across) = visual.spatial_merge_size, grid
    device = visual.rotary_pos_emb.inv_freq.device
    row, column = torch.meshgrid(
        torch.arange(down, device=device), torch.arange(across, device=device), indexing="ij"
    )
    blocks = (down // merge, merge, across // merge, merge)
    place = torch.stack((row, column), -1).view(*blocks, 2).transpose(1, 2).reshape(-1, 2)
    angle = (place[..., None] * visual.rotary_pos_emb.inv_freq).flatten(1)
    return angle.cos(), angle.sin()
