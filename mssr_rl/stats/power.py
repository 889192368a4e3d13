"""How much more would it take: the difference K seeds can show, and the seeds a difference needs.

From the spread of the per-seed differences, which is a property of the two trainings; never from
the difference that was seen ("observed power" only restates its p). The spread is itself uncertain
at few seeds, so every number here is "about". The tests are two-sided; finding a difference means
finding it with the right sign, which is one tail of alpha / 2.
"""

from collections.abc import Callable
from math import sqrt

import numpy as np
from scipy import stats
from statsmodels.stats.power import TTestPower

POWER = 0.8  # how often what is there shall be found
MOST_SEEDS = 1_000  # beyond this nobody asks how many exactly
QUANTILES = 400  # of the chi-squared distribution, for the integral over the spread


def detectable(sd: float, seeds: int, alpha: float = 0.05) -> float | None:
    """The smallest true difference that a paired t-test finds in 80 % of repetitions.

    3.3 sd at 3 seeds, 1.7 at 5, 1.0 at 10 (alpha 0.05). None below two seeds.
    """
    if seeds < 2:
        return None
    effect = TTestPower().solve_power(None, seeds, alpha / 2, POWER, alternative="larger")
    return float(effect) * sd


def seeds_to_detect(sd: float, difference: float, alpha: float = 0.05) -> int | None:
    """Seeds at which a true `difference` is found in 80 %; None beyond a thousand."""

    def enough(seeds: int) -> bool:
        power = TTestPower().power(difference / sd, seeds, alpha / 2, alternative="larger")
        return bool(power >= POWER)

    return _fewest(enough)


def seeds_to_equate(sd: float, margin: float, alpha: float = 0.05) -> int | None:
    """Seeds at which two equal arms pass TOST at `margin` in 80 %; None beyond a thousand."""
    return _fewest(lambda seeds: power_of_tost(sd, margin, seeds, alpha) >= POWER)


def power_of_tost(sd: float, margin: float, seeds: int, alpha: float = 0.05) -> float:
    """How often two equal arms are found equivalent.

    TOST passes where |mean| < margin - t * s / sqrt(K); mean and s are independent, so this is the
    normal probability of it, averaged over quantiles of s.
    """
    degrees, root = seeds - 1, sqrt(seeds)
    quantile = (np.arange(QUANTILES) + 0.5) / QUANTILES
    seen_sd = sd * np.sqrt(stats.chi2.ppf(quantile, degrees) / degrees)
    room = margin - stats.t.ppf(1 - alpha, degrees) * seen_sd / root
    inside = 2 * stats.norm.cdf(np.maximum(room, 0.0) * root / sd) - 1
    return float(inside.mean())


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """The smallest number of seeds that is enough; more is always more.

    Doubled from below, because far beyond enough scipy's non-central t gives NaN.
    """
    low, high = 1, 2
    while not enough(high):
        if high == MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
