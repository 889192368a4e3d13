"""Run blocks of rollouts in parallel on the local engine's cores, with one torch thread each.

The size of blocks does not depend on the number of threads, and results are combined in the order
of the blocks. So the results of a run do not depend on the number of threads. If threads shared
single operations, they would wait for each other thousands of times a step (docs/speed.md).
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import torch

Block = TypeVar("Block")
Result = TypeVar("Result")

# How long a thread keeps the interpreter. Python's default is 5 ms. A thread that returns from a
# torch operation must not wait that long: in 5 ms another thread does dozens of operations
# (docs/speed.md).
TURN = 1e-4  # [s]


class Workers:
    """A pool of `threads` threads on a CPU, or of one thread on a GPU."""

    def __init__(self, threads: int, device: str) -> None:
        count = threads if device == "cpu" else 1
        if count > 1:
            sys.setswitchinterval(TURN)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="block", initializer=_alone)

    def each(self, work: Callable[[Block], Result], blocks: Iterable[Block]) -> Iterator[Result]:
        """Return an iterator over the results of `work` for all blocks, in their order.

        If a block fails, its error is raised. Blocks that have not been started are then not run.
        """
        return self._pool.map(work, blocks)

    def close(self) -> None:
        """Wait for the blocks that are running, and end the threads."""
        self._pool.shutdown()


def _alone(*_: Any) -> None:
    torch.set_num_threads(1)
