"""The frozen initial policy of the local engine; it reads each prompt once in a run.

Its keys and values for a prompt never change, so they are kept for the next time the problem comes.
The numbers of a batched pass depend in their last bits on the rest of the batch, and a resumed run,
which has kept nothing, needs the same numbers. So a problem is always read together with the same
others, its neighbours in the order of the first epoch. Of a long order only the beginning is kept.
A problem beyond it, or one that was not announced, is read again with its batch each time.
"""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import torch

from mssr_rl.models import lean
from mssr_rl.models.family import Block, Family, Reading
from mssr_rl.models.qwen2_5_vl import Qwen25VL
from mssr_rl.problem import Problem

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROOM = 512 << 20  # bytes of keys and values; the tiny model needs 0.06 MB a problem
TOGETHER = 32  # problems in a block that is read in one pass


class Reference:
    """Read prompts with a model that is never trained, and keep the results."""

    def __init__(
        self,
        model: "PreTrainedModel",
        family: Family,
        device: str,
        encode: Callable[[Sequence[Problem]], Block],
    ) -> None:
        self.model = model.requires_grad_(False)
        self.family = family
        self._encode = encode
        # Not on a GPU: its memory is scarce, and reading a batch again costs little. And only for a
        # model family whose keys and values we can split by problem.
        self._remember = device == "cpu" and isinstance(family, Qwen25VL)
        self._blocks: list[Sequence[Problem]] = []
        self._block_of: dict[int, int] = {}  # by the id of a problem; its block keeps it alive
        self._kept: dict[int, lean.Kept] = {}  # by the id of a problem

    def expect(self, problems: Sequence[Problem]) -> None:
        """Announce the problems, in the order of the first epoch."""
        if self._remember:
            starts = range(0, len(problems), TOGETHER)
            self._blocks = [problems[start : start + TOGETHER] for start in starts]
            self._block_of = {id(p): b for b, block in enumerate(self._blocks) for p in block}

    def missing(self, problems: Sequence[Problem]) -> list[int]:
        """Return the numbers of the blocks that `keep` must read before these problems are read."""
        new = {self._block_of.get(id(p)) for p in problems if id(p) not in self._kept}
        return sorted(b for b in new if b is not None and b < self._room)

    @cached_property
    def _room(self) -> int:
        """How many blocks fit into ROOM, if all are as large as the first."""
        text = self.model.config.text_config
        width = text.hidden_size // text.num_attention_heads * text.num_key_value_heads
        # Two, because a token has keys and values.
        token: int = 2 * text.num_hidden_layers * width * self.model.dtype.itemsize
        entries: int = self._encode(self._blocks[0]).prompts.mask_PL.numel()
        return ROOM // (token * entries)

    @torch.no_grad()
    def keep(self, number: int) -> None:
        """Read one block and keep the result."""
        block = self._blocks[number]
        reading = self.family.read(self.model, self._encode(block))
        self._kept.update(zip(map(id, block), lean.apart(reading), strict=True))

    @torch.no_grad()
    def read(self, problems: Sequence[Problem]) -> Reading:
        """Return what `Family.read` gives for these problems, using the kept results."""
        others = [p for p in problems if id(p) not in self._kept]
        if len(others) == len(problems):
            return self.family.read(self.model, self._encode(problems))
        fresh = lean.apart(self.family.read(self.model, self._encode(others))) if others else []
        new = dict(zip(map(id, others), fresh, strict=True))
        return lean.joined([new[id(p)] if id(p) in new else self._kept[id(p)] for p in problems])
