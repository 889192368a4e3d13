"""The local engine's cores: blocks of rollouts at work side by side, one thread of torch each.

Blocks are cut by size, never by the number of threads, and what comes of them is put together in
their order: a run's numbers do not depend on how many threads made them. Threads that share every
single operation instead wait for each other thousands of times a step (docs/speed.md).
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Block = TypeVar("Block")
Result = TypeVar("Result")

# Python's default is 5 ms, in which a thread does dozens of operations: another that comes back
# from one must not wait that long for its turn (docs/speed.md).
TURN = 1e-4  # [s]


class Workers:
    """So many threads; one on a GPU, which has its own order of work."""

    def __init__(self, threads: int, device: str) -> None:
        count = threads if device == "cpu" else 1
        if count > 1:
            sys.setswitchinterval(TURN)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="block", initializer=_alone)

    def each(self, work: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[Result]:
        """`work` on every block; results as they come, in the order of the blocks.

        An error is raised in its place; blocks that nobody has begun are then left alone.
        """
        return self._pool.map(work, blocks)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _alone(*_: Any) -> None:
    torch.set_num_threads(1)
