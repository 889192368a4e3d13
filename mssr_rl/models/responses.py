"""Sample whole responses in one call of compiled code, for models that `layers.py` accepts.

`decode` does the same in Python, token by token; tests compare the two. Here no Python runs between
two tokens, so other threads do not have to wait.

Shapes: P prompts of at most L tokens, B responses of at most T, D hidden, K key-value heads, H
values a head, V vocabulary.
"""

from ctypes import byref
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from mssr_rl.engine_protocol import Sampling
from mssr_rl.models import fused, lean, native
from mssr_rl.models.layers import TOGETHER, Layers, Linear
from mssr_rl.models.sampled import Sampled
from mssr_rl.models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VLForConditionalGeneration,
    )


class Compiled(NamedTuple):
    """A model in the form that the kernel reads.

    Some weights are copies, so the object is valid until a weight changes.
    """

    model: "Qwen2_5_VLForConditionalGeneration"
    layers: Layers
    head: Linear

    @classmethod
    def of(cls, model: "Qwen2_5_VLForConditionalGeneration") -> "Compiled | None":
        """Return the model in this form; None if the kernel cannot be used for it."""
        text, head = model.model.language_model, model.lm_head
        whole = head.bias is None and len(head.weight) == len(text.embed_tokens.weight)
        if not whole or not fused.usable(head.weight, text.embed_tokens.weight, text.norm.weight):
            return None
        layers, head_map = Layers.of_text(text), Linear.of(head.weight)
        return None if layers is None or head_map.panels is None else cls(model, layers, head_map)

    def responses(
        self,
        reading: lean.Reading,
        vocabulary: Vocabulary,
        sampling: Sampling,
        uniform_BT: Tensor,
    ) -> Sampled:
        """Return B = len(uniform_BT) sampled responses, the same number for each prompt.

        Raises ValueError if B or T is 0, or if B is not a multiple of the number of prompts.
        """
        (cache, last_PD), (b, limit) = reading, uniform_BT.shape
        if min(b, limit) < 1 or b % len(last_PD):
            raise ValueError(f"{b} responses of {limit} tokens to {len(last_PD)} prompts")
        behind_B = torch.arange(len(last_PD)).repeat_interleave(b // len(last_PD))
        length_B, position_B = cache.mask_PL.sum(1)[behind_B], cache.next_position_P[behind_B]
        made, kept = _Made.empty(b, limit), _kept(cache, b, limit)
        around, how = self._around(int(position_B.max()) + limit), _numbers(uniform_BT, sampling)
        choice = native.SamplingChoice(
            *map(fused.address, (*around, how, vocabulary.banned, vocabulary.end)),
            *(len(self.head.weight), len(vocabulary.banned), len(vocabulary.end)),
            *(limit, TOGETHER, sampling.temperature or 1.0),
        )
        responses = native.Responses(
            *map(fused.address, (behind_B, length_B, position_B)),
            cache.mask_PL.shape[1],
            *map(fused.address, made),
        )
        told = self.layers.told(b, limit, kept)
        places = (byref(choice), byref(responses), last_PD[behind_B], self.layers.scratch)
        fused.run("responses", *told, *places)
        return made.sampled(vocabulary)

    def _around(self, positions: int) -> tuple[Tensor | None, ...]:
        """Return the model's tensors outside its layers, in the order of `native.SamplingChoice`.

        They are the embedding, the last norm, the output layer, and the cosines and sines.
        """
        text = self.model.model.language_model
        rotary = lean.response_rotary(self.model, torch.arange(positions))
        return text.embed_tokens.weight, text.norm.weight, self.head.panels, *rotary


def _numbers(uniform_BT: Tensor, sampling: Sampling) -> Tensor | None:
    return uniform_BT.float().contiguous() if sampling.temperature else None


def _kept(cache: lean.Cache, b: int, limit: int) -> list[tuple[Tensor, ...]]:
    """Return, for each layer, empty keys and values for the responses and those of the prompts.

    The empty tensors are B K T H.
    """
    kept = []
    for both in cache.layers:
        _, heads, _, size = both[0].shape
        own = (both[0].new_empty(b, heads, limit, size) for _ in both)
        kept.append((*own, *(x.contiguous() for x in both)))
    return kept


class _Made(NamedTuple):
    """The tensors that the kernel writes, in the order of `native.Responses`."""

    token_BT: Tensor
    count_B: Tensor
    logprob_BT: Tensor
    entropy_BT: Tensor

    @classmethod
    def empty(cls, b: int, limit: int) -> "_Made":
        """Return tensors with undefined values, for `b` responses of at most `limit` tokens."""
        token_BT = torch.empty(b, limit, dtype=torch.int64)
        scores = torch.empty(2, b, limit, dtype=torch.float32)
        return cls(token_BT, token_BT.new_empty(b), *scores)

    def sampled(self, vocabulary: Vocabulary) -> Sampled:
        """Return the responses as one block, padded to the longest response."""
        width = int(self.count_B.max())
        real_BT = torch.arange(width) < self.count_B[:, None]
        last_B1 = self.token_BT.gather(1, self.count_B[:, None] - 1)

        def cut(x_BT: Tensor, padding: float) -> Tensor:
            return x_BT[:, :width].masked_fill(~real_BT, padding)

        return Sampled(
            cut(self.token_BT, vocabulary.pad),
            real_BT.float(),
            cut(self.logprob_BT, 0),
            cut(self.entropy_BT, 0),
            ~torch.isin(last_B1[:, 0], vocabulary.end),
        )
