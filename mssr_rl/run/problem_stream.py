"""Which problems a step poses: one endless stream of shuffled epochs that depends on the seed only.

Nothing is kept but a position, so step 57 of a resumed run poses what step 57 of an undisturbed one
does, and arms that pose different numbers of problems a step still read the same stream: pairing
for free. A batch may cross an epoch border and then hold a problem twice.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice

import numpy as np

from mssr_rl.seeds import derive


@lru_cache(maxsize=4)
def epoch_order(seed: int, epoch: int, num_problems: int) -> Sequence[int]:
    """The rows of the training set in the order of one epoch."""
    rng = np.random.default_rng(derive(seed, "problems", epoch))
    return tuple(int(row) for row in rng.permutation(num_problems))


def rows(seed: int, num_problems: int, start: int, count: int) -> list[int]:
    """`count` rows of the stream from position `start` on."""
    epoch, offset = divmod(start, num_problems)
    found: list[int] = []
    while len(found) < count:
        order = epoch_order(seed, epoch, num_problems)
        found += islice(order, offset, offset + count - len(found))
        epoch, offset = epoch + 1, 0
    return found
