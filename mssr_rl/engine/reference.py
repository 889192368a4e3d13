"""The frozen initial policy of the local engine, which reads a problem once in a run.

What it makes of a prompt never changes, so keys and values are kept for the next time the problem
comes. Numbers of a batched pass depend in their last bits on the rest of the batch, and a resumed
run, which has kept nothing, needs the same ones: so a problem is always read with the same others,
its neighbours in the order of the first epoch. Of a long order only the beginning is kept; what
comes later, or was not expected, is read with whatever comes along, every time it comes.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import torch

from mssr_rl.models import lean
from mssr_rl.models.family import Block, Family, Reading
from mssr_rl.models.qwen2_5_vl import Qwen25VL
from mssr_rl.problem import Problem

ROOM = 512 << 20  # bytes of keys and values; the tiny model needs 0.06 MB a problem
TOGETHER = 32  # neighbours


class Reference:
    """Reads prompts with a model that is never trained."""

    def __init__(
        self,
        model: Any,
        family: Family,
        device: str,
        encode: Callable[[Sequence[Problem]], Block],
    ) -> None:
        self.model = model.requires_grad_(False)
        self.family = family
        self._encode = encode
        # Not on a GPU, whose memory is dear and whose batches are cheap; and only readings whose
        # insides are known can be kept apart, problem by problem.
        self._remember = device == "cpu" and isinstance(family, Qwen25VL)
        self._blocks: list[Sequence[Problem]] = []
        self._block_of: dict[int, int] = {}  # by id of a problem, which its block holds
        self._kept: dict[int, lean.Kept] = {}  # by id too

    def expect(self, problems: Sequence[Problem]) -> None:
        """What will come, in the order in which it comes first."""
        if self._remember:
            starts = range(0, len(problems), TOGETHER)
            self._blocks = [problems[start : start + TOGETHER] for start in starts]
            self._block_of = {id(p): b for b, block in enumerate(self._blocks) for p in block}

    def missing(self, problems: Sequence[Problem]) -> list[int]:
        """Numbers of the blocks that `keep` is to read before these problems are."""
        new = {self._block_of.get(id(p)) for p in problems if id(p) not in self._kept}
        return sorted(b for b in new if b is not None and b < self._room)

    @cached_property
    def _room(self) -> int:
        """Blocks from the first on that are kept, were they all as large as the first."""
        text = self.model.config.text_config
        width = text.hidden_size // text.num_attention_heads * text.num_key_value_heads
        token: int = 2 * text.num_hidden_layers * width * self.model.dtype.itemsize
        entries: int = self._encode(self._blocks[0]).prompts.mask_PL.numel()
        return ROOM // (token * entries)

    @torch.no_grad()
    def keep(self, number: int) -> None:
        """Read a block."""
        block = self._blocks[number]
        reading = self.family.read(self.model, self._encode(block))
        self._kept.update(zip(map(id, block), lean.apart(reading), strict=True))

    @torch.no_grad()
    def read(self, problems: Sequence[Problem]) -> Reading:
        """As `Family.read` gives it for the block."""
        others = [p for p in problems if id(p) not in self._kept]
        if len(others) == len(problems):
            return self.family.read(self.model, self._encode(problems))
        fresh = lean.apart(self.family.read(self.model, self._encode(others))) if others else []
        new = dict(zip(map(id, others), fresh, strict=True))
        return lean.joined([new[id(p)] if id(p) in new else self._kept[id(p)] for p in problems])
