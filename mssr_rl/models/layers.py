"""Run all layers of a transformer in one call of compiled code, without gradient.

It is for small models, in which matrix products do not take most of the time. For other models
`lean` and `see` run one layer after the other. `responses` samples with this module. Tests compare
the two ways.

Shapes: N tokens one after the other, P sequences of at most L tokens, D hidden, K key-value heads,
H values a head, S room for keys.
"""

from collections.abc import Sequence
from ctypes import byref
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mssr_rl.models import fused, native
from mssr_rl.models.fused import Rotary

if TYPE_CHECKING:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VisionTransformerPretrainedModel,
        Qwen2_5_VLDecoderLayer,
        Qwen2_5_VLTextModel,
        Qwen2_5_VLVisionBlock,
    )

COLUMNS = 32  # columns of a panel of weights; see `kernels/layers.c`
TOGETHER = 128  # rows that go through one layer together before the next layer
MOST = 64 << 20  # parameters; copies of a larger model would need too much memory

KeysValues = tuple[tuple[Tensor, Tensor], ...]  # of every layer, rows or sequences K S H


class LinearMap(Protocol):
    """The weight and the bias of a `torch.nn.Linear`; the bias may be None.

    torch declares the bias as if it were never None.
    """

    weight: Tensor
    bias: Tensor | None


class Linear(NamedTuple):
    """A linear map without gradient. It holds copies, so it is valid until its weights change."""

    weight: Tensor
    bias: Tensor | None
    panels: Tensor | None  # the weight as the kernels read it, if they can be used

    @classmethod
    def of(cls, weight: Tensor, bias: Tensor | None = None) -> "Linear":
        """Return the linear map with this weight, shape [outputs, inputs], and this bias."""
        serves = fused.usable(weight) and len(weight) % COLUMNS == 0 and weight.numel() <= MOST
        return cls(weight, bias, _panels(weight.detach()) if serves else None)

    def __call__(self, x_ND: Tensor) -> Tensor:
        """Return the map's outputs for N inputs, shape [N, outputs]."""
        outputs, inputs = self.weight.shape
        plain = fused.usable(x_ND) and not torch.is_autocast_enabled("cpu")
        if self.panels is None or not plain or x_ND.shape[-1] != inputs:
            return F.linear(x_ND, self.weight, self.bias)
        x = x_ND.contiguous()
        y = x.new_empty(*x.shape[:-1], outputs)
        fused.run("linear", x, self.panels, self.bias, y, y.numel() // outputs, inputs, outputs)
        return y


class LayerShape(NamedTuple):
    """The sizes that all calls have in common, in the order of `native.Sizes`."""

    hidden: int
    inner: int
    query_heads: int
    key_heads: int
    size: int
    eps: float

    @property
    def scratch(self) -> int:
        """The number of temporary values that a layer needs for one row."""
        queries, keys = self.query_heads * self.size, self.key_heads * self.size
        return 1 + self.hidden + 3 * queries + 3 * keys + self.query_heads + 3 * self.inner


class Layers(NamedTuple):
    """The weights of all layers in the form that the kernels read.

    Some weights are copies, so the object is valid until a weight changes.
    """

    weights: tuple[tuple[Tensor | None, ...], ...]  # for each layer, as in `native.Layer`
    shape: LayerShape
    scratch: Tensor  # shared by all calls, so only one call at a time

    @classmethod
    def of_text(cls, text: "Qwen2_5_VLTextModel") -> "Layers | None":
        """Return the layers of a language model; None if the kernels cannot be used for it."""
        if not _serves(text.layers):
            return None
        first, size = text.layers[0], text.layers[0].self_attn.head_dim
        shape = LayerShape(
            hidden=text.config.hidden_size,
            inner=first.mlp.gate_proj.out_features,
            query_heads=first.self_attn.q_proj.out_features // size,
            key_heads=first.self_attn.k_proj.out_features // size,
            size=size,
            eps=first.input_layernorm.variance_epsilon,
        )
        return cls(tuple(map(_text_weights, text.layers)), shape, _scratch(shape, TOGETHER))

    @classmethod
    def of_vision(cls, visual: "Qwen2_5_VisionTransformerPretrainedModel") -> "Layers | None":
        """Return the layers of a vision tower; None if the kernels cannot be used for it.

        Every layer of the tower must attend to the whole picture.
        """
        if not _serves(visual.blocks):
            return None
        first = visual.blocks[0]
        hidden, heads = first.attn.proj.out_features, first.attn.num_heads
        inner, eps = first.mlp.gate_proj.out_features, first.norm1.variance_epsilon
        shape = LayerShape(hidden, inner, heads, heads, hidden // heads, eps)
        return cls(tuple(map(_vision_weights, visual.blocks)), shape, _scratch(shape, TOGETHER))

    def read(
        self, x_ND: Tensor, rotary: Rotary, length_P: Sequence[int], width: int
    ) -> tuple[KeysValues, Tensor]:
        """Return the keys and values of P sequences, and the outputs at their last tokens.

        Keys and values are P K L H for each layer, padded to `width` tokens. The outputs are P D.
        Raises ValueError if a sequence is empty or longer than `width`.
        """
        if min(length_P) < 1 or max(length_P) > width:
            raise ValueError(f"sequences of {min(length_P)} to {max(length_P)} tokens in {width}")
        last_PD = x_ND.new_empty(len(length_P), self.shape.hidden)
        room = (len(length_P), self.shape.key_heads, width, self.shape.size)
        kept = tuple((x_ND.new_empty(room), x_ND.new_empty(room)) for _ in self.weights)
        self._through(x_ND, rotary, length_P, kept, last_PD)
        return kept, last_PD

    def see(self, x_ND: Tensor, rotary: Rotary, length_P: Sequence[int]) -> Tensor:
        """Return the outputs N D for P sequences; all tokens of a sequence attend to each other."""
        return self._through(x_ND, rotary, length_P)

    def _through(
        self,
        x_ND: Tensor,
        rotary: Rotary,
        length_P: Sequence[int],
        kept: KeysValues = (),
        last_PD: Tensor | None = None,
    ) -> Tensor:
        x, turned = x_ND.clone(), [part.contiguous() for part in rotary]
        told = self.told(len(length_P), kept[0][0].shape[2] if kept else 0, kept)
        # The scratch must hold the longest sequence.
        together = max(TOGETHER, *length_P)
        scratch = self.scratch if together == TOGETHER else _scratch(self.shape, together)
        causal = last_PD is not None  # for text; attention in pictures is not causal
        length = torch.tensor(length_P, device="cpu")
        places = (x, *turned, length, causal, last_PD, scratch, TOGETHER)
        fused.run("layers_of_sequences", *told, *places)
        return x

    def told(self, rows: int, room: int, kept: Sequence[Sequence[Tensor]]) -> tuple[Any, Any]:
        """Return the layers and their sizes as C structs, the first two arguments of a kernel.

        `kept` holds keys and values for each layer; they become part of the layer's struct.
        """
        layers = (native.Layer * len(self.weights))(
            *(
                native.Layer(*map(fused.address, (*weights, *keys)))
                for weights, keys in zip(
                    self.weights, kept or [()] * len(self.weights), strict=True
                )
            )
        )
        *sizes, eps = self.shape
        return layers, byref(native.Sizes(len(self.weights), rows, *sizes, room, eps))


def _serves(layers: torch.nn.ModuleList) -> bool:
    # Adapters are added to the weights before a kernel reads them.
    weights = [w for name, w in layers.named_parameters() if ".lora_" not in name]
    if not fused.usable(*weights) or sum(w.numel() for w in weights) > MOST:
        return False
    return all(len(w) % COLUMNS == 0 for w in weights)


def _scratch(shape: LayerShape, rows: int) -> Tensor:
    return torch.empty(rows * shape.scratch, dtype=torch.float32, device="cpu")


# ---- weights ---------------------------------------------------------------------------------


def _text_weights(layer: "Qwen2_5_VLDecoderLayer") -> tuple[Tensor | None, ...]:
    attention = layer.self_attn
    return (
        layer.input_layernorm.weight,
        *_joint(attention.q_proj, attention.k_proj, attention.v_proj),
        *_joint(attention.o_proj),
        layer.post_attention_layernorm.weight,
        *_joint(layer.mlp.gate_proj, layer.mlp.up_proj),
        *_joint(layer.mlp.down_proj),
    )


def _vision_weights(block: "Qwen2_5_VLVisionBlock") -> tuple[Tensor | None, ...]:
    return (
        block.norm1.weight,
        *_joint(block.attn.qkv),
        *_joint(block.attn.proj),
        block.norm2.weight,
        *_joint(block.mlp.gate_proj, block.mlp.up_proj),
        *_joint(block.mlp.down_proj),
    )


def _joint(*linears: LinearMap) -> tuple[Tensor, Tensor | None]:
    """Return the weights of linear maps that have the same input, and their biases or None.

    The weights are joined and cut into panels. A panel holds, for each input, the weights of 32
    outputs side by side.
    """
    panels = _panels(torch.cat([weight_of(linear).detach() for linear in linears]))
    biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
    assert len(biases) in (0, len(linears))
    return panels, torch.cat(biases) if biases else None


def weight_of(linear: torch.nn.Module | LinearMap) -> Tensor:
    """Return the weight that a linear layer computes with, LoRA's matrices included."""
    if isinstance(linear, torch.nn.Linear):
        return linear.weight
    from mssr_rl.models import lora

    return lora.whole_weight(linear)


def _panels(weight: Tensor) -> Tensor:
    return weight.view(-1, COLUMNS, weight.shape[1]).transpose(1, 2).contiguous()
