"""The reference model of the local engine, which reads most prompts only once in a run.

It is a copy of the initial policy. With LoRA it is the policy itself, whose adapters are off while
it is used as the reference. Its weights never change, so keys and values of a prompt are kept for
the next time. In their last bits, the numbers of a pass depend on all prompts in its block. A
resumed run must compute the same numbers, but has no kept results. So a problem is always read in
the same block: with its neighbours in the order of the first epoch. Only as many blocks are kept as
fit into ROOM. All other problems are read again each time.
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
    """A model that is never trained, and its kept results for prompts."""

    def __init__(
        self,
        model: "PreTrainedModel",
        family: Family,
        device: str,
        encode: Callable[[Sequence[Problem]], Block],
    ) -> None:
        self.model = model
        self.family = family
        self._encode = encode
        # Not on a GPU: its memory is scarce, and reading a batch again costs little. And only for a
        # model family whose keys and values we can split by problem.
        self._remember = device == "cpu" and isinstance(family, Qwen25VL)
        self._blocks: list[Sequence[Problem]] = []
        self._block_of: dict[int, int] = {}  # by the id of a problem; its block keeps it alive
        self._kept: dict[int, lean.Kept] = {}  # by the id of a problem

    def expect(self, problems: Sequence[Problem]) -> None:
        """Set the problems of the run, in the order of the first epoch, and split them into blocks.

        Without this call, no results are kept.
        """
        if self._remember:
            starts = range(0, len(problems), TOGETHER)
            self._blocks = [problems[start : start + TOGETHER] for start in starts]
            self._block_of = {id(p): b for b, block in enumerate(self._blocks) for p in block}

    def missing(self, problems: Sequence[Problem]) -> list[int]:
        """Return the numbers of the blocks that contain these problems and must still be read.

        Call `keep` for each of them before `read`. Blocks that do not fit into ROOM are left out.
        """
        new = {self._block_of.get(id(p)) for p in problems if id(p) not in self._kept}
        return sorted(b for b in new if b is not None and b < self._room)

    @cached_property
    def _room(self) -> int:
        """The number of blocks that fit into ROOM, if all are as large as the first."""
        text = self.model.config.text_config
        width = text.hidden_size // text.num_attention_heads * text.num_key_value_heads
        # Two, because a token has keys and values.
        token: int = 2 * text.num_hidden_layers * width * self.model.dtype.itemsize
        entries: int = self._encode(self._blocks[0]).prompts.mask_PL.numel()
        return ROOM // (token * entries)

    @torch.no_grad()
    def keep(self, number: int) -> None:
        """Read the prompts of block `number`, and keep the results."""
        block = self._blocks[number]
        reading = self.family.read(self.model, self._encode(block))
        self._kept.update(zip(map(id, block), lean.apart(reading), strict=True))

    @torch.no_grad()
    def read(self, problems: Sequence[Problem]) -> Reading:
        """Return the result of `Family.read` for these problems, from kept results if possible."""
        others = [p for p in problems if id(p) not in self._kept]
        if len(others) == len(problems):
            return self.family.read(self.model, self._encode(problems))
        fresh = lean.apart(self.family.read(self.model, self._encode(others))) if others else []
        new = dict(zip(map(id, others), fresh, strict=True))
        return lean.joined([new[id(p)] if id(p) in new else self._kept[id(p)] for p in problems])
