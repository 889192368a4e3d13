"""Looking again: when a comparison that grows is judged, and how small a p-value must then be.

Two equal arms, looked at after every seed from 3 to 10 until a t-test at 5 % calls them different,
are called so in 16 %. So alpha is spent over looks, and the looks are fixed before the first run:

    look 1   at the seeds that were planned                  92 % of alpha
    look k   at twice the seeds of the look before           half of what is left each time

At any other number of seeds no word changes. Nobody can choose a look by what was seen, and how
often somebody reads the report does not matter. The levels add up to alpha, so the chance of a
false word at any look is alpha at most, whatever the test and however many pairs it covers.

What was lost: the anytime-valid t-test of `racing`, which may be read after every seed, cannot
decide before 5 seeds; one level for every number of seeds finds less at the planned number and at
twice of it. Figures are in docs/statistics.md.
"""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

FIRST = 0.92  # of alpha at the first look: a planned comparison loses a tenth of its power at most
FEWEST = 3  # seeds: two differences that agree are an accident too often (docs/statistics.md)


class Analysis(NamedTuple):
    """A look: a number of seeds at which words are given."""

    number: int  # from 1 on
    seeds: int  # of the comparison, from its first on
    level: float  # an adjusted p below this decides


def looks(planned: int, alpha: float) -> Iterator[Analysis]:
    """All looks of a comparison that was planned with so many seeds, without end."""
    first = max(planned, FEWEST)
    yield Analysis(1, first, FIRST * alpha)
    for doubled in count(1):
        yield Analysis(doubled + 1, first * 2**doubled, (1 - FIRST) * alpha / 2**doubled)


def reached(complete: int, planned: int, alpha: float) -> Analysis | None:
    """The newest look once `complete` seeds have come to their end; None before the first."""
    found = None
    for look in looks(planned, alpha):
        if look.seeds > complete:
            return found
        found = look
    raise AssertionError("there is always a next look")


def following(complete: int, planned: int, alpha: float) -> Analysis:
    """The next look after so many seeds."""
    return next(look for look in looks(planned, alpha) if look.seeds > complete)
