"""The frozen initial policy of the local engine, which reads a problem once in a run.

What it makes of a prompt never changes, so keys and values are kept for the next time the problem
comes. They are made of each problem by itself: numbers of a batched pass depend in their last bits
on the rest of the batch, and a resumed run, which has kept nothing, meets other batches.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from mssr_rl.models import lean
from mssr_rl.models.encode import Prompts
from mssr_rl.problem import Problem

ROOM = 512 << 20  # bytes of keys and values that are kept; the tiny model needs 0.13 MB a problem


class Reference:
    """Reads prompts with a model that is never trained."""

    def __init__(
        self, model: Any, encode: Callable[[Sequence[Problem]], Prompts], *, remember: bool
    ) -> None:
        self.model = model.requires_grad_(False)
        self._encode = encode
        self._remember = remember  # not on a GPU, whose memory is dear and whose batches are cheap
        self._kept: dict[int, tuple[Problem, lean.Reading]] = {}  # by id, which the problem holds
        self._room = ROOM

    @torch.no_grad()
    def read(self, problems: Sequence[Problem]) -> lean.Reading:
        """As `lean.read` gives it for the block."""
        if not self._remember:
            return lean.read(self.model, self._encode(problems))
        return lean.joined([self._one(problem) for problem in problems])

    def _one(self, problem: Problem) -> lean.Reading:
        kept = self._kept.get(id(problem))
        if kept is not None:
            return kept[1]
        reading = lean.read(self.model, self._encode([problem]))
        size = sum(x.nbytes for pair in reading[0].layers for x in pair)
        if size <= self._room:
            self._room -= size
            self._kept[id(problem)] = (problem, reading)
        return reading
