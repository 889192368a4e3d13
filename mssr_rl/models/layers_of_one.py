"""The text layers in sampling, one token a row through all of them in one call of compiled code.

What `decode` does layer by layer with the operations of `lean` and `fused`, for models small enough
that the operations' own cost counts; a test holds the two together.

Shapes: A rows, D hidden, K key-value heads, S room for keys, H values a head.
"""

from collections.abc import Sequence
from ctypes import byref
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mssr_rl.models import fused, native
from mssr_rl.models.fused import Rotary

COLUMNS = 32  # of a panel; see `kernels/layers_of_one.c`
TOGETHER = 128  # rows that go through a layer at once
MOST = 16 << 20  # parameters: beyond them matrix products take all the time, and MKL has the better


class Seen(NamedTuple):
    """Of S keys: so many at the beginning, and those from the prompts' width to the end."""

    length_A: Tensor  # int64
    prompt_width: int
    end: int  # the newest is the last before it


class Packed(NamedTuple):
    """A model's text layers as the kernel reads them: copies, so of these weights only."""

    layers: tuple[tuple[Tensor | None, ...], ...]  # each in the order of `native.Layer`
    sizes: dict[str, Any]  # of `native.Sizes`, as far as the model decides them
    scratch: Tensor

    @classmethod
    def of(cls, model: Any) -> "Packed | None":
        """None where the kernel does not serve."""
        text = model.model.language_model
        if not _serves(text):
            return None
        attention = text.layers[0].self_attn
        size, inner = attention.head_dim, text.config.intermediate_size
        queries, keys = (part.out_features for part in (attention.q_proj, attention.k_proj))
        hidden = text.config.hidden_size
        sizes = {
            "layers": len(text.layers),
            "hidden": hidden,
            "inner": inner,
            "query_heads": queries // size,
            "key_heads": keys // size,
            "size": size,
            "eps": text.norm.variance_epsilon,
        }
        width = 1 + hidden + 3 * queries + 2 * keys + 3 * inner
        packed = tuple(map(_packed, text.layers))
        return cls(packed, sizes, torch.empty(TOGETHER * width))

    def feed(
        self, x_AD: Tensor, rotary: Rotary, kept: Sequence[tuple[Tensor, Tensor]], seen: Seen
    ) -> Tensor:
        """What the layers make of a token a row, A D; its keys and values are kept, A K S H."""
        x = x_AD.contiguous().clone()
        layers = (native.Layer * len(kept))(
            *(
                native.Layer(*(None if y is None else y.data_ptr() for y in (*layer, *room)))
                for layer, room in zip(self.layers, kept, strict=True)
            )
        )
        sizes = native.Sizes(
            rows=len(x),
            room=kept[0][0].shape[2],
            prompt_width=seen.prompt_width,
            end=seen.end,
            **self.sizes,
        )
        cosine, sine = (part.contiguous() for part in rotary)
        tensors = (x, cosine, sine, seen.length_A, self.scratch)
        fused.run("layers_of_one", layers, byref(sizes), *tensors, TOGETHER)
        return x


def _serves(text: Any) -> bool:
    weights = list(text.layers.parameters())
    if not fused.usable(*weights) or sum(w.numel() for w in weights) > MOST:
        return False
    plain = all(
        bias is None
        for layer in text.layers
        for bias in (
            layer.self_attn.o_proj.bias,
            layer.mlp.gate_proj.bias,
            layer.mlp.down_proj.bias,
        )
    )
    return plain and all(len(w) % COLUMNS == 0 for w in weights)


def _packed(layer: Any) -> tuple[Tensor | None, ...]:
    attention, mlp = layer.self_attn, layer.mlp
    qkv = [attention.q_proj, attention.k_proj, attention.v_proj]
    bias = None if qkv[0].bias is None else torch.cat([part.bias for part in qkv])
    return (
        layer.input_layernorm.weight,
        _panels(*(part.weight for part in qkv)),
        bias,
        _panels(attention.o_proj.weight),
        layer.post_attention_layernorm.weight,
        _panels(mlp.gate_proj.weight, mlp.up_proj.weight),
        _panels(mlp.down_proj.weight),
    )


def _panels(*weights: Tensor) -> Tensor:
    """Of matrices one above the other: 32 outputs of every input side by side, panel by panel."""
    whole = torch.cat(weights)
    return whole.view(-1, COLUMNS, whole.shape[1]).transpose(1, 2).contiguous()
