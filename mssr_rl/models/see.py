"""The vision tower of Qwen2.5-VL, with the weights of transformers' model.

It is the first part of `lean`'s forward pass, and differentiable. Pictures of one size are one
batch. The result is that of the vision tower of `Qwen2_5_VLForConditionalGeneration`
(arXiv:2502.13923).

Shapes: N pictures, S patches a picture, C values of a patch, D hidden.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from mssr_rl.models import fused
from mssr_rl.models.fused import PackedSequences, Rotary, mlp, norm, rotate
from mssr_rl.models.layers import Layers, Linear, weight_of
from mssr_rl.models.patches import Pictures, all_frames

if TYPE_CHECKING:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VisionTransformerPretrainedModel,
        Qwen2_5_VLForConditionalGeneration,
    )


def see(model: "Qwen2_5_VLForConditionalGeneration", blocks: Sequence[Pictures]) -> list[Tensor]:
    """Return the picture features of each block, each of shape [N, image tokens, D].

    All pictures of a block have one size.
    """
    visual = model.model.visual
    if len(visual.fullatt_block_indexes) < len(visual.blocks):
        return [_see_windowed(visual, pictures) for pictures in blocks]
    free = blocks and not torch.is_grad_enabled()
    compiled = Layers.of_vision(visual) if free else None
    return [_see_whole(visual, pictures, compiled) for pictures in blocks]


def _see_whole(
    visual: "Qwen2_5_VisionTransformerPretrainedModel", pictures: Pictures, compiled: Layers | None
) -> Tensor:
    n, patches = len(pictures.pixel_NCHW), pictures.patches
    x = _embedded(visual, pictures, compiled)
    one = _patch_rotary(visual, pictures.grid)
    rotary = one[0].repeat(n, 1), one[1].repeat(n, 1)
    if compiled is not None and fused.usable(x):
        x = compiled.see(x, rotary, [patches] * n)
    else:
        x = _layer_by_layer(visual, x, rotary, PackedSequences.of(torch.full((n,), patches)))
    merger = visual.merger
    merged = norm(merger.ln_q, x).view(n, -1, merger.hidden_size)
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


def _layer_by_layer(
    visual: "Qwen2_5_VisionTransformerPretrainedModel",
    x: Tensor,
    rotary: Rotary,
    apart: PackedSequences,
) -> Tensor:
    for block in visual.blocks:
        qkv = block.attn.qkv(norm(block.norm1, x)).view(len(x), 3, block.attn.num_heads, -1)
        q, k, v = qkv.unbind(1)
        q, k = rotate(q, rotary), rotate(k, rotary)
        x = x + block.attn.proj(_within(apart, q, k, v))
        x = x + mlp(block.mlp, norm(block.norm2, x))
    return x


def _within(pictures: PackedSequences, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return attention in which patches attend to patches of their own picture.

    The result has one row for each patch, with the outputs of all heads.
    """
    if fused.usable(q):
        return fused.attend(q, (k, v), pictures, causal=False).flatten(1)
    q, k, v = (y.unflatten(0, (len(pictures.length_B), -1)).transpose(1, 2) for y in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(0, 1).flatten(1)


def _see_windowed(visual: "Qwen2_5_VisionTransformerPretrainedModel", pictures: Pictures) -> Tensor:
    """Return the features of pictures from transformers' own vision tower.

    It is used for towers with window attention.
    """
    n, cut = len(pictures.pixel_NCHW), pictures.cut()
    grid = torch.tensor([[1, *pictures.grid]] * n, device=cut.device)
    patches = all_frames(cut.flatten(0, 1), visual.patch_embed.temporal_patch_size)
    features: Tensor = visual(patches, grid_thw=grid).pooler_output
    return features.view(n, -1, features.shape[-1])


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
