"""A transformer's layers without gradient, all of them in one call of compiled code.

What `lean`, `see` and `decode` otherwise do layer by layer, for models small enough that it is not
matrix products alone that take the time; tests hold the two together.

Shapes: N tokens one behind the other, A rows, P sequences of at most L tokens, D hidden, K
key-value heads, H values a head, S room for keys.
"""

from collections.abc import Iterable, Iterator, Sequence
from ctypes import byref
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mssr_rl.models import fused, native
from mssr_rl.models.fused import Rotary

COLUMNS = 32  # of a panel; see `kernels/layers.c`
TOGETHER = 128  # rows that go through a layer at once, and then through the next
MOST = 64 << 20  # parameters: copies of more would take too much room

KeysValues = tuple[tuple[Tensor, Tensor], ...]  # of every layer, rows or sequences K S H


class Seen(NamedTuple):
    """Of S keys: so many at the beginning, and those from the prompts' width to the end."""

    length_A: Tensor  # int64
    prompt_width: int
    end: int  # the newest is the last before it


class Shape(NamedTuple):
    """Of all layers; the order is that of `native.Sizes`, without the numbers of one call."""

    hidden: int
    inner: int
    query_heads: int
    key_heads: int
    size: int
    eps: float

    @property
    def scratch(self) -> int:
        """Numbers that a row needs on its way through a layer."""
        queries, keys = self.query_heads * self.size, self.key_heads * self.size
        return 1 + self.hidden + 3 * queries + 3 * keys + self.query_heads + 3 * self.inner


class Layers(NamedTuple):
    """Layers as the kernels read them, in part copies: until a weight changes."""

    weights: tuple[tuple[Tensor | None, ...], ...]  # of each, in the order of `native.Layer`
    shape: Shape
    scratch: Tensor  # so one call at a time

    @classmethod
    def of_text(cls, text: Any) -> "Layers | None":
        """Those of a language model; None where the kernels do not serve."""
        if not _serves(text.layers):
            return None
        first, size = text.layers[0], text.layers[0].self_attn.head_dim
        shape = Shape(
            hidden=text.config.hidden_size,
            inner=first.mlp.gate_proj.out_features,
            query_heads=first.self_attn.q_proj.out_features // size,
            key_heads=first.self_attn.k_proj.out_features // size,
            size=size,
            eps=first.input_layernorm.variance_epsilon,
        )
        return cls(tuple(map(_text_weights, text.layers)), shape, _scratch(shape, TOGETHER))

    @classmethod
    def of_vision(cls, visual: Any) -> "Layers | None":
        """Those of a vision tower whose layers all see the whole picture."""
        if not _serves(visual.blocks):
            return None
        first = visual.blocks[0]
        hidden, heads = first.attn.proj.out_features, first.attn.num_heads
        inner, eps = first.mlp.gate_proj.out_features, first.norm1.variance_epsilon
        shape = Shape(hidden, inner, heads, heads, hidden // heads, eps)
        return cls(tuple(map(_vision_weights, visual.blocks)), shape, _scratch(shape, TOGETHER))

    def step(
        self, x_AD: Tensor, rotary: Rotary, kept: Sequence[tuple[Tensor, Tensor]], seen: Seen
    ) -> Tensor:
        """What the layers make of a token a row, A D; its keys and values are kept."""
        x, turned = x_AD.clone(), (part.contiguous() for part in rotary)
        told = self._told(len(x), kept[0][0].shape[2], kept)
        places = (x, *turned, seen.length_A, seen.prompt_width, seen.end)
        fused.run("layers_of_one", *told, *places, self.scratch, TOGETHER)
        return x

    def read(
        self, x_ND: Tensor, rotary: Rotary, length_P: Sequence[int], width: int
    ) -> tuple[KeysValues, Tensor]:
        """Keys and values of sequences, padded to a width, P K L H, and their last tokens, P D."""
        if min(length_P) < 1 or max(length_P) > width:
            raise ValueError(f"sequences of {min(length_P)} to {max(length_P)} tokens in {width}")
        x, last_PD = x_ND.clone(), x_ND.new_empty(len(length_P), x_ND.shape[1])
        room = (len(length_P), self.shape.key_heads, width, self.shape.size)
        kept = tuple((x.new_zeros(room), x.new_zeros(room)) for _ in self.weights)
        for rows, tokens in _parts(length_P):
            part = tuple((k[rows], v[rows]) for k, v in kept)
            lengths = length_P[rows]
            self._through(x[tokens], _cut(rotary, tokens), lengths, part, last_PD[rows])
        return kept, last_PD

    def see(self, x_ND: Tensor, rotary: Rotary, length_P: Sequence[int]) -> Tensor:
        """What the layers make of sequences whose tokens all see each other, N D."""
        x = x_ND.clone()
        for rows, tokens in _parts(length_P):
            self._through(x[tokens], _cut(rotary, tokens), length_P[rows])
        return x

    def _through(
        self,
        x_ND: Tensor,
        rotary: Rotary,
        length_P: Sequence[int],
        kept: KeysValues = (),
        last_PD: Tensor | None = None,
    ) -> None:
        length = torch.tensor(length_P, device="cpu")
        told = self._told(len(x_ND), kept[0][0].shape[2] if kept else 0, kept)
        turned = (part.contiguous() for part in rotary)
        places = (x_ND, *turned, length.cumsum(0) - length, length, len(length))
        fits = len(x_ND) <= TOGETHER
        scratch = self.scratch if fits else _scratch(self.shape, len(x_ND))
        causal = last_PD is not None  # a text; pictures are seen whole
        fused.run("layers_of_sequences", *told, *places, causal, last_PD, scratch)

    def _told(self, rows: int, room: int, kept: Iterable[tuple[Tensor, Tensor]]) -> tuple[Any, Any]:
        nothing = [(None, None)] * len(self.weights)
        layers = (native.Layer * len(self.weights))(
            *(
                native.Layer(*(None if y is None else y.data_ptr() for y in (*weights, *keys)))
                for weights, keys in zip(self.weights, kept or nothing, strict=True)
            )
        )
        *sizes, eps = self.shape
        return layers, byref(native.Sizes(len(self.weights), rows, *sizes, room, eps))


def _serves(layers: Any) -> bool:
    weights = list(layers.parameters())
    if not fused.usable(*weights) or sum(w.numel() for w in weights) > MOST:
        return False
    return all(len(w) % COLUMNS == 0 for w in weights)


def _parts(length_P: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Sequences, and their tokens, of which about as many as fit go through together."""
    ends = [0, *accumulate(length_P)]
    first = 0
    for row in range(1, len(ends)):
        if row == len(ends) - 1 or ends[row + 1] - ends[first] > TOGETHER:
            yield slice(first, row), slice(ends[first], ends[row])
            first = row


def _cut(rotary: Rotary, tokens: slice) -> Rotary:
    return rotary[0][tokens], rotary[1][tokens]


def _scratch(shape: Shape, rows: int) -> Tensor:
    return torch.empty(rows * shape.scratch, dtype=torch.float32, device="cpu")


# ---- weights ---------------------------------------------------------------------------------


def _text_weights(layer: Any) -> tuple[Tensor | None, ...]:
    attention = layer.self_attn
    return (
        layer.input_layernorm.weight,
        *_joint(attention.q_proj, attention.k_proj, attention.v_proj),
        *_joint(attention.o_proj),
        layer.post_attention_layernorm.weight,
        *_joint(layer.mlp.gate_proj, layer.mlp.up_proj),
        *_joint(layer.mlp.down_proj),
    )


def _vision_weights(block: Any) -> tuple[Tensor | None, ...]:
    return (
        block.norm1.weight,
        *_joint(block.attn.qkv),
        *_joint(block.attn.proj),
        block.norm2.weight,
        *_joint(block.mlp.gate_proj, block.mlp.up_proj),
        *_joint(block.mlp.down_proj),
    )


def _joint(*linears: Any) -> tuple[Tensor, Tensor | None]:
    """Weights of linear maps of one input: 32 outputs of every input side by side, panel by panel.

    And their biases, if they have any.
    """
    whole = torch.cat([linear.weight.detach() for linear in linears])
    panels = whole.view(-1, COLUMNS, whole.shape[1]).transpose(1, 2).contiguous()
    if linears[0].bias is None:
        return panels, None
    return panels, torch.cat([linear.bias.detach() for linear in linears])
