"""Intervals in plain Python: for one accuracy, and for a change over the same problems.

What one run can say about itself; the only module here that needs no scipy. What several runs say
about two algorithms is in `paired` and `verdict`.
"""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

Z95 = 1.959963984540054  # the normal quantile at 0.975


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def negated(found: Interval) -> Interval:
    """The interval of the opposite difference."""
    return Interval(-found.value, -found.high, -found.low)


def wilson(share: float, n: int) -> Interval:
    """Wilson's 95 % interval for `share` of `n` independent trials; [0, 1] when n is 0.

    `share` may be a mean of per-problem fractions: their variance is at most p (1 - p), so the
    interval is then wider than needed, never too narrow.
    """
    if n <= 0:
        return Interval(share, 0.0, 1.0)
    z2 = Z95 * Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def paired_change(before: Sequence[float], after: Sequence[float]) -> Interval | None:
    """Mean of after - before over the same problems with its normal 95 % interval.

    None below two problems: one difference says nothing about the spread.
    """
    change = [b - a for a, b in zip(before, after, strict=True)]
    if len(change) < 2:
        return None
    mean = sum(change) / len(change)
    variance = sum((x - mean) ** 2 for x in change) / (len(change) - 1)
    half = Z95 * sqrt(variance / len(change))
    return Interval(mean, mean - half, mean + half)
