"""Count the floating-point operations that a Qwen2.5-VL of a given shape needs.

A multiplication and an addition are two operations. Only matrix products of real tokens are
counted, including those of attention. Norms, activations, softmax and embeddings are not counted.
Attention in prompts is causal, so token i of L attends to i tokens. Our forward pass computes some
parts once and shares them, and they are counted once. These are a picture and its prompt for all
rollouts of a problem, and one frame of a still picture.

Shapes: L prompt tokens, T response tokens, S patches of a picture, D hidden, F feed-forward inner,
Q query heads, K key-value heads, H values a head, V vocabulary.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

BACKWARD = 2  # the backward pass costs two forward passes: for inputs and for weights


class Text(NamedTuple):
    """The shape of the language model: its number of layers, and its sizes by letter."""

    layers: int
    D: int
    F: int
    Q: int
    K: int
    H: int
    V: int

    @classmethod
    def of(cls, config: Any) -> "Text":
        """Return the shape from the config of a Qwen2.5-VL."""
        c = config.text_config
        size = c.hidden_size // c.num_attention_heads
        return cls(
            layers=c.num_hidden_layers,
            D=c.hidden_size,
            F=c.intermediate_size,
            Q=c.num_attention_heads,
            K=c.num_key_value_heads,
            H=size,
            V=c.vocab_size,
        )

    @property
    def per_token(self) -> int:
        """The operations of the linear maps of all layers, for one token."""
        attention = self.D * (self.Q + 2 * self.K) * self.H + self.Q * self.H * self.D
        return 2 * self.layers * (attention + 3 * self.D * self.F)

    @property
    def per_pair(self) -> int:
        """The operations of all layers for one token that attends to one token: score and value."""
        return 4 * self.layers * self.Q * self.H

    @property
    def only_kept(self) -> int:
        """The operations that the last layer saves for a token that needs only keys and values."""
        return 2 * (2 * self.Q * self.H * self.D + 3 * self.D * self.F)

    @property
    def head(self) -> int:
        """The operations for the logits of one token."""
        return 2 * self.D * self.V


class Vision(NamedTuple):
    """The shape of the vision tower; every layer attends over the whole picture."""

    layers: int
    D: int
    F: int
    out: int
    merged: int  # patches that become one token
    patch: int  # values of a patch in one frame

    @classmethod
    def of(cls, config: Any) -> "Vision":
        """Return the shape from the config of a Qwen2.5-VL."""
        c = config.vision_config
        return cls(
            layers=c.depth,
            D=c.hidden_size,
            F=c.intermediate_size,
            out=c.out_hidden_size,
            merged=c.spatial_merge_size**2,
            patch=c.in_channels * c.patch_size**2,
        )

    def picture(self, patches: int) -> int:
        """Return the operations for a picture, from its patches to the features of its tokens."""
        linear = 4 * self.D * self.D + 3 * self.D * self.F
        layer = 2 * patches * linear + 4 * patches * patches * self.D
        wide = self.merged * self.D
        merger = 2 * (patches // self.merged) * (wide * wide + wide * self.out)
        return 2 * patches * self.patch * self.D + self.layers * layer + merger


class Work(NamedTuple):
    """The numbers of tokens and patches in a batch: problems, and the responses to each."""

    prompt_P: Sequence[int]  # tokens, image tokens included
    patches_N: Sequence[int]  # of each picture
    response_PG: Sequence[Sequence[int]]  # tokens of each response


def forward(config: Any, work: Work) -> int:
    """Return the operations of one forward pass over a batch, in which each prompt is read once.

    Sampling with a cache needs as many operations as scoring. The last token of a response is never
    read.
    """
    text, vision = Text.of(config), Vision.of(config)
    total = sum(map(vision.picture, work.patches_N))
    total += sum(_prompt(text, length) for length in work.prompt_P)
    for prompt, responses in zip(work.prompt_P, work.response_PG, strict=True):
        for length in responses:
            total += _read(text, length - 1, prompt) + length * text.head
    return total


def update(config: Any, work: Work) -> int:
    """Return the operations of the forward and the backward pass."""
    return (1 + BACKWARD) * forward(config, work)


def _prompt(text: Text, length: int) -> int:
    """Return the operations for a prompt of `length` tokens.

    In the last layer, only the last token is computed fully.
    """
    others = length - 1
    unseen = others * (others + 1) // 2
    spared = others * text.only_kept + unseen * text.per_pair // text.layers
    return _read(text, length, 0) - spared


def _read(text: Text, length: int, before: int) -> int:
    """Return the operations for `length` tokens that follow `before` other tokens.

    Each token attends to itself and to all tokens before it.
    """
    pairs = length * before + length * (length + 1) // 2
    return length * text.per_token + pairs * text.per_pair
