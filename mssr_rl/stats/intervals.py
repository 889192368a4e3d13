"""Confidence intervals in plain Python: for one accuracy, and for a change on the same problems.

They describe a single run. To compare two algorithms over several runs, use `paired` and `verdict`.
This is the only module of the package that does not need scipy.
"""

from collections.abc import Collection, Sequence
from math import sqrt
from typing import NamedTuple

Z95 = 1.959963984540054  # the normal quantile at 0.975


class Interval(NamedTuple):
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


def negated(interval: Interval) -> Interval:
    """Return the interval of the opposite difference: b - a instead of a - b."""
    return Interval(-interval.value, -interval.high, -interval.low)


def wilson(share: float, n: float) -> Interval:
    """Return Wilson's 95 % interval for `share` of `n` independent trials; [0, 1] when n is 0.

    `share` may be a mean of fractions, one per problem. Their variance is at most p (1 - p). So the
    interval can be wider than needed, but it is never too narrow.
    """
    if n <= 0:
        return Interval(share, 0.0, 1.0)
    z2 = Z95 * Z95
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 / (1 + z2 / n) * sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))


def clustered(clusters: Collection[Sequence[float]]) -> Interval:
    """Return the 95 % interval of a share whose trials come in clusters of dependent trials.

    `clusters` holds one number from 0 to 1 per trial. The interval is the normal cluster-robust
    interval if that lies between 0 and 1. Otherwise it is Wilson's interval for the number of
    independent trials with the same variance. If no trial or every trial is right, the robust
    variance is 0; then each cluster counts as one trial. In simulations (15 to 200 clusters of 5,
    shares of 1 to 50 %) this interval covers the truth in at least 89 %. The robust interval alone
    covers it in as little as 20 %.
    """
    sizes = [len(cluster) for cluster in clusters]
    n = sum(sizes)
    share = sum(sum(cluster) for cluster in clusters) / n
    off = [sum(cluster) - len(cluster) * share for cluster in clusters]
    half = Z95 * sqrt(sum(x * x for x in off)) / n
    if half > 0 and share - half > 0 and share + half < 1:
        return Interval(share, share - half, share + half)
    # The number of independent trials if all trials of a cluster have the same outcome.
    fewest = n * n / sum(size * size for size in sizes)
    # The last factor corrects for few clusters.
    variance = sum(x * x for x in off) / n**2 * len(sizes) / max(1, len(sizes) - 1)
    alike = share * (1 - share) / variance if variance > 0 else fewest
    return wilson(share, min(n, max(fewest, alike)))


def within(interval: Interval, low: float, high: float) -> Interval:
    """Return the interval, cut at `low` and `high`, the smallest and the largest possible value."""
    return Interval(interval.value, max(low, interval.low), min(high, interval.high))


def paired_change(before: Sequence[float], after: Sequence[float]) -> Interval | None:
    """Return the mean of after - before over the same problems, with a normal 95 % interval.

    Both arguments are shares from 0 to 1; the interval is cut at ± 1. The result is None for fewer
    than two problems, because one difference does not show the spread. If all changes are equal
    (for example all 0), their true variance is unknown, not 0. The interval is then computed with
    two problems added, one better and one worse (Agresti and Min 2005).
    """
    change = [b - a for a, b in zip(before, after, strict=True)]
    if len(change) < 2:
        return None
    mean = sum(change) / len(change)
    variance = sum((x - mean) ** 2 for x in change) / (len(change) - 1)
    if variance == 0:
        more = [*change, 1.0, -1.0]
        middle = sum(more) / len(more)
        half = Z95 * sqrt(sum((x - middle) ** 2 for x in more)) / len(more)
        return within(Interval(mean, middle - half, middle + half), -1.0, 1.0)
    half = Z95 * sqrt(variance / len(change))
    return within(Interval(mean, mean - half, mean + half), -1.0, 1.0)
