"""How much more would it take: the difference K seeds can show, and the seeds a difference needs.

From the spread of the per-seed differences, which is a property of the two trainings; never from
the difference that was seen ("observed power" only restates its p). The spread is itself uncertain
at few seeds: where 15 seeds are needed, the estimate from two runs from 3 to 47. So each number of
seeds comes with the range that the spread's 95 % interval gives. The tests are two-sided; finding a
difference means finding it with the right sign, which is one tail of alpha / 2.
"""

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy import stats
from statsmodels.stats.power import TTestPower

POWER = 0.8  # how often what is there shall be found
MOST_SEEDS = 1_000  # beyond this nobody asks how many exactly
QUANTILES = 400  # of the chi-squared distribution, for the integral over the spread


class SpreadEstimate(NamedTuple):
    """A spread, and how well it is known."""

    sd: float  # of the differences, over seeds
    seeds: int

    @property
    def range(self) -> tuple[float, float]:
        """The 95 % interval of the standard deviation, of normal differences."""
        degrees = self.seeds - 1
        low, high = stats.chi2.ppf([0.975, 0.025], degrees)
        return self.sd * sqrt(degrees / low), self.sd * sqrt(degrees / high)


class Truth(NamedTuple):
    """A difference as it might be."""

    difference: float
    sd: float  # over seeds


class Outlook(NamedTuple):
    """What more seeds could do, at 80 % power and this pair's spread; None: over a thousand."""

    detectable: float | None  # the smallest difference that the seeds at hand would show
    seeds_to_detect: int | None  # in all, planned from the start, for a difference of the margin
    seeds_to_equate: int | None  # in all, planned from the start, for equivalence of equal arms
    fewest_to_detect: int | None  # the same at the ends of the spread's 95 % interval
    most_to_detect: int | None
    look_to_detect: int | None = None  # seeds of the look at which this comparison would find it


def outlook(seen: SpreadEstimate, margin: float, alpha: float) -> Outlook:
    """All of it at once, for tests at `alpha`."""
    low, high = seen.range
    return Outlook(
        detectable=detectable(seen.sd, seen.seeds, alpha),
        seeds_to_detect=seeds_to_detect(seen.sd, margin, alpha),
        seeds_to_equate=seeds_to_equate(seen.sd, margin, alpha),
        fewest_to_detect=seeds_to_detect(low, margin, alpha),
        most_to_detect=seeds_to_detect(high, margin, alpha),
    )


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
    return _fewest(lambda seeds: of_t_test(difference / sd, seeds, alpha) >= POWER)


def of_t_test(effect: float, seeds: int, alpha: float = 0.05) -> float:
    """How often a true difference of `effect` standard deviations is found."""
    return float(TTestPower().power(effect, seeds, alpha / 2, alternative="larger"))


def exaggeration(truth: Truth, seeds: int, alpha: float = 0.05) -> float:
    """How many times too large the differences read that a t-test calls different ("type M").

    Decided is |mean| > c = t * s / sqrt(K). Mean and s are independent, so this is the mean of |x|
    of a normal x beyond ± c, averaged over quantiles of s (Gelman and Carlin 2014).
    """
    degrees, error = seeds - 1, truth.sd / sqrt(seeds)
    quantile = (np.arange(QUANTILES) + 0.5) / QUANTILES
    seen_sd = np.sqrt(stats.chi2.ppf(quantile, degrees) / degrees)
    limit = stats.t.ppf(1 - alpha / 2, degrees) * seen_sd  # in standard errors
    shift = truth.difference / error
    above, below = limit - shift, -limit - shift
    often = (stats.norm.sf(above) + stats.norm.cdf(below)).mean()
    size = (
        shift * (stats.norm.sf(above) - stats.norm.cdf(below))
        + stats.norm.pdf(above)
        + stats.norm.pdf(below)
    ).mean()
    return float(size / often / shift)


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
