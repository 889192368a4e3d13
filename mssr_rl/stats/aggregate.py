"""Several environments in one number: beside the verdict of each, never in its place.

The macro mean and the probability of improvement take accuracies: both compare arms within an
environment. The interquartile mean wants gains over the initial model, because in accuracies it
would trim whole environments, the easy and the hard, and not runs. The aggregates are rliable's
(arXiv 2108.13264), which is no longer maintained, and a line each.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats


def macro(accuracy: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
    """{seed: mean over environments} from {environment: {seed: accuracy}}; seeds in all of them.

    The numbers go to `compare_values`.
    """
    tables = list(accuracy.values())
    common = set.intersection(*(set(table) for table in tables)) if tables else set()
    return {seed: sum(table[seed] for table in tables) / len(tables) for seed in sorted(common)}


def iqm(values: Sequence[float]) -> float:
    """Interquartile mean: the mean of the middle half, over all runs of all environments."""
    return float(stats.trim_mean(np.asarray(values, dtype=float), 0.25))


def probability_of_improvement(
    a: Mapping[str, Sequence[float]], b: Mapping[str, Sequence[float]]
) -> float:
    """How often a run of `a` beats one of `b`, ties half; {environment: one number a seed} each.

    Mean over the environments of the Mann-Whitney statistic; 0.5 is no difference. It ranks runs
    and does not say by how much they differ.
    """
    shares = [
        stats.mannwhitneyu(a[env], b[env]).statistic / (len(a[env]) * len(b[env]))
        for env in a
        if a[env] and b[env]
    ]
    return float(np.mean(shares))
