"""Interim analyses ("looks") of a comparison that grows: when it is tested, and at which level.

Suppose that two equal arms are tested after every seed from 3 to 10. Then some t-test at 5 % finds
a difference in 16 % of comparisons. So alpha is divided over a few looks. The looks are fixed
before the first run:

    look 1   at the planned number of seeds                  92 % of alpha
    look k   at twice the seeds of the look before           half of the remaining alpha

At other numbers of seeds no verdict changes. So nobody can choose a look by the results, and
reading the report often does no harm. The levels add up to alpha. So the chance of a false verdict
at any look is at most alpha, for every test and any number of pairs.

Two other schemes were tried. The anytime-valid t-test of `racing` may be read after every seed, but
it cannot decide before 5 seeds. One level for every number of seeds detects less at the planned
number and at twice that number. Figures are in docs/statistics.md.
"""

from collections.abc import Iterator
from itertools import count
from typing import NamedTuple

FIRST = 0.92  # share of alpha at the first look, which costs at most a tenth of the power
FEWEST = 3  # seeds; two differences agree by chance too often (docs/statistics.md)


class Analysis(NamedTuple):
    """A look: a number of seeds at which verdicts are given, and its level."""

    number: int  # counted from 1
    seeds: int  # the look uses the first `seeds` seeds of the comparison
    level: float  # an adjusted p-value below this gives a verdict


def looks(planned: int, alpha: float) -> Iterator[Analysis]:
    """Yield the looks of a comparison with `planned` seeds, without end."""
    first = max(planned, FEWEST)
    yield Analysis(1, first, FIRST * alpha)
    for doubled in count(1):
        yield Analysis(doubled + 1, first * 2**doubled, (1 - FIRST) * alpha / 2**doubled)


def reached(complete: int, planned: int, alpha: float) -> Analysis | None:
    """Return the newest look when `complete` seeds have finished; None before the first look."""
    newest = None
    for look in looks(planned, alpha):
        if look.seeds > complete:
            return newest
        newest = look
    raise AssertionError("there is always a next look")


def following(complete: int, planned: int, alpha: float) -> Analysis:
    """Return the first look that needs more than `complete` seeds."""
    return next(look for look in looks(planned, alpha) if look.seeds > complete)
