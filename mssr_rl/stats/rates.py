"""The share of training runs that collapse, with an exact interval and an exact test; pass@k.

They are exact because there are few runs.
"""

from collections.abc import Sequence
from math import comb

from scipy import stats

from mssr_rl.stats.intervals import Interval


def rate(events: int, runs: int) -> Interval:
    """Return the share of events with its exact 95 % interval (Clopper and Pearson).

    For 0 events in 5 runs the interval goes up to 52 %. Without runs it is [0, 1].
    """
    if runs == 0:
        return Interval(0.0, 0.0, 1.0)
    interval = stats.binomtest(events, runs).proportion_ci(confidence_level=0.95, method="exact")
    return Interval(events / runs, float(interval.low), float(interval.high))


def rates_differ(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Return Fisher's exact p-value for two pairs (events, runs).

    For 4 of 5 against 0 of 5 it is 0.048; for 3 of 5 against 0 of 5 it is 0.17.
    """
    table = [[events, runs - events] for events, runs in (a, b)]
    return float(stats.fisher_exact(table).pvalue)


def pass_at(k: int, right: Sequence[int], samples: int) -> float:
    """Return pass@k: the probability that one of k answers is right, as a mean over problems.

    `right` holds the number of right answers among `samples` to each problem. The estimate is
    unbiased (arXiv 2107.03374). Raises ValueError if there are fewer than k samples.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} needs at least {k} answers to each problem, not {samples}")
    wrong = sum(comb(samples - count, k) for count in right) / comb(samples, k)
    return 1 - wrong / len(right)
