"""Aggregate results over several environments. The verdict of each environment stays beside them.

The macro mean and the probability of improvement take accuracies, because both compare arms within
one environment. The interquartile mean (IQM) needs gains over the initial model. With accuracies,
it would remove the easiest and the hardest environments instead of single runs. The aggregates are
those of rliable (arXiv 2108.13264). They are written here, in one line each, because rliable is no
longer maintained.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats


def macro(accuracy: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
    """Return {seed: mean accuracy over environments}.

    `accuracy` is {environment: {seed: accuracy}}. Only seeds that every environment has are kept.
    The result is an input of `compare_values`.
    """
    tables = list(accuracy.values())
    common = set.intersection(*(set(table) for table in tables)) if tables else set()
    return {seed: sum(table[seed] for table in tables) / len(tables) for seed in sorted(common)}


def iqm(values: Sequence[float]) -> float:
    """Return the interquartile mean: the mean of the middle half of all values, one per run."""
    return float(stats.trim_mean(np.asarray(values, dtype=float), 0.25))


def probability_of_improvement(
    a: Mapping[str, Sequence[float]], b: Mapping[str, Sequence[float]]
) -> float:
    """Return the probability that a run of `a` beats a run of `b`; a tie counts half.

    Both arguments are {environment: one number per seed}. The result is the Mann-Whitney statistic
    as a share, averaged over environments; 0.5 means no difference. It depends only on the ranks of
    the runs, not on the size of their differences.
    """
    shares = [
        stats.mannwhitneyu(a[env], b[env]).statistic / (len(a[env]) * len(b[env]))
        for env in a
        if a[env] and b[env]
    ]
    return float(np.mean(shares))
