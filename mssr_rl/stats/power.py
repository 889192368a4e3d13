"""Power analysis: the smallest difference that K seeds can show, and the seeds a difference needs.

It uses the standard deviation of the differences per seed. It never uses the observed difference,
because such "observed power" only restates the p-value. With few seeds the standard deviation
itself is uncertain. Where 15 seeds are needed, the estimate from two runs goes from 3 to 47. So
each number of seeds comes with a range, from the 95 % interval of the standard deviation. The tests
are two-sided. A difference counts as detected only with the right sign, which is one tail of alpha
/ 2.
"""

from collections.abc import Callable
from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy import stats
from statsmodels.stats.power import TTestPower

POWER = 0.8  # the share of repetitions that must detect a true difference
MOST_SEEDS = 1_000  # larger numbers of seeds are not computed
QUANTILES = 400  # of the chi-squared distribution, for the integral over the spread


class SpreadEstimate(NamedTuple):
    """A standard deviation, and the number of seeds from which it was estimated."""

    sd: float  # of the differences, over seeds
    seeds: int

    @property
    def range(self) -> tuple[float, float]:
        """The 95 % interval of the standard deviation, for normally distributed differences."""
        degrees = self.seeds - 1
        low, high = stats.chi2.ppf([0.975, 0.025], degrees)
        return self.sd * sqrt(degrees / low), self.sd * sqrt(degrees / high)


class Truth(NamedTuple):
    """An assumed true difference and its standard deviation."""

    difference: float
    sd: float  # over seeds


class Outlook(NamedTuple):
    """The results that more seeds can give, at 80 % power and this pair's standard deviation.

    Numbers of seeds are totals, planned from the start. None means more than a thousand.
    """

    detectable: float | None  # the smallest difference that the seeds at hand would detect
    seeds_to_detect: int | None  # for a true difference as large as the margin
    seeds_to_equate: int | None  # to show that equal arms are equivalent
    fewest_to_detect: int | None  # seeds_to_detect at the low end of the sd's 95 % interval
    most_to_detect: int | None  # and at its high end
    look_to_detect: int | None = None  # seeds of the look that would detect such a difference


def outlook(seen: SpreadEstimate, margin: float, alpha: float) -> Outlook:
    """Return the outlook for tests at level `alpha`, without its field `look_to_detect`."""
    low, high = seen.range
    return Outlook(
        detectable=detectable(seen.sd, seen.seeds, alpha),
        seeds_to_detect=seeds_to_detect(seen.sd, margin, alpha),
        seeds_to_equate=seeds_to_equate(seen.sd, margin, alpha),
        fewest_to_detect=seeds_to_detect(low, margin, alpha),
        most_to_detect=seeds_to_detect(high, margin, alpha),
    )


def detectable(sd: float, seeds: int, alpha: float = 0.05) -> float | None:
    """Return the smallest true difference that a paired t-test detects in 80 % of repetitions.

    It is 3.3 sd at 3 seeds, 1.7 sd at 5 and 1.0 sd at 10 (alpha 0.05). None for fewer than two
    seeds.
    """
    if seeds < 2:
        return None
    effect = TTestPower().solve_power(None, seeds, alpha / 2, POWER, alternative="larger")
    return float(effect) * sd


def seeds_to_detect(sd: float, difference: float, alpha: float = 0.05) -> int | None:
    """Return the number of seeds with which `difference` is detected in 80 % of repetitions.

    None if it is more than a thousand.
    """
    return _fewest(lambda seeds: of_t_test(difference / sd, seeds, alpha) >= POWER)


def of_t_test(effect: float, seeds: int, alpha: float = 0.05) -> float:
    """Return the power of the t-test for a true difference of `effect` standard deviations."""
    return float(TTestPower().power(effect, seeds, alpha / 2, alternative="larger"))


def exaggeration(truth: Truth, seeds: int, alpha: float = 0.05) -> float:
    """Return the factor by which significant differences are too large on average ("type M" error).

    A difference is significant if |mean| > c = t * s / sqrt(K). Mean and s are independent. So the
    code takes the mean of |x| for a normal x beyond ± c, and averages it over quantiles of s. Then
    it divides by the true difference (Gelman and Carlin 2014).
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
    """Return the number of seeds with which equal arms pass TOST in 80 % of repetitions.

    None if it is more than a thousand.
    """
    return _fewest(lambda seeds: power_of_tost(sd, margin, seeds, alpha) >= POWER)


def power_of_tost(sd: float, margin: float, seeds: int, alpha: float = 0.05) -> float:
    """Return the probability that TOST finds two equal arms equivalent.

    TOST passes if |mean| < margin - t * s / sqrt(K). Mean and s are independent. So the result is
    the normal probability of this event, averaged over quantiles of s.
    """
    degrees, root = seeds - 1, sqrt(seeds)
    quantile = (np.arange(QUANTILES) + 0.5) / QUANTILES
    seen_sd = sd * np.sqrt(stats.chi2.ppf(quantile, degrees) / degrees)
    room = margin - stats.t.ppf(1 - alpha, degrees) * seen_sd / root
    inside = 2 * stats.norm.cdf(np.maximum(room, 0.0) * root / sd) - 1
    return float(inside.mean())


def _fewest(enough: Callable[[int], bool]) -> int | None:
    """Return the smallest number of seeds for which `enough` is true, found by bisection.

    The search doubles the number from below, because scipy's non-central t gives NaN at far larger
    numbers.
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
