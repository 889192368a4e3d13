"""The order of training problems: an endless stream of shuffled epochs, given by the seed alone.

The only state is a position. So a resumed run gets the same problems as a run without interruption.
Arms with different numbers of problems per step still read the same stream, so their seeds can be
paired. A batch may cross the end of an epoch, and can then hold a problem twice.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

import numpy as np

from mssr_rl.seeds import derive


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, num_problems: int) -> Sequence[int]:
    """Return the rows of the training set in the order in which one epoch visits them."""
    rng = np.random.default_rng(derive(seed, "problems", epoch))
    return tuple(int(row) for row in rng.permutation(num_problems))


def rows(seed: int, num_problems: int, start: int, count: int) -> list[int]:
    """Return `count` rows of the stream, from position `start` on."""
    epoch, offset = divmod(start, num_problems)
    stream: list[int] = []
    while len(stream) < count:
        order = epoch_order(seed, epoch, num_problems)
        stream += islice(order, offset, offset + count - len(stream))
        epoch, offset = epoch + 1, 0
    return stream
