"""Two arms, K seeds: what the K differences of final accuracy say. This is what decides.

Each seed gives one difference d = a - b of two trainings that share their data order and evaluation
seeds. Its mean is tested with Student's t on K - 1 degrees of freedom, and its equivalence to zero
with two one-sided t-tests (TOST); sign flips stand beside them, because at few seeds they cannot
reach a small p and a reader should see that.

Written with scipy's t distribution rather than `ttest_rel` and `ttost_paired`, with which it agrees
(a test says so): those give NaN when all differences are equal. Accuracy is a count over n
questions, so equal differences only say that their spread is below the grid 1/n: the spread is
never taken as less than that of rounding to the grid.
"""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import stdtr, stdtrit  # Student's t; scipy.stats takes 50 times as long

from mssr_rl.errors import UserError
from mssr_rl.stats.intervals import Interval

FLIPS = 9_999  # sign flips drawn at random where there are more than this many


class Spread(NamedTuple):
    """K numbers, one a seed, in short."""

    mean: float
    sd: float  # sample standard deviation, at least the grid's
    seeds: int  # K

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.sd / sqrt(self.seeds)


class SignFlip(NamedTuple):
    """The sign-flip test: how often random signs give a mean as far from 0 as the one seen."""

    p: float
    floor: float  # the smallest p that K differences can give: 2 / 2^K


def spread(values: Sequence[float], resolution: float) -> Spread | None:
    """Mean and standard deviation; None below two values, which have no spread.

    `resolution` is the grid of one accuracy: 1 / number of questions. Rounding to it has a standard
    deviation of resolution / sqrt(12), twice in a difference.
    """
    if resolution <= 0:
        raise UserError(
            f"resolution={resolution}, but it must be above 0: it is the smallest step the values "
            "can differ by, 1 / number of questions for an accuracy"
        )
    if len(values) < 2:
        return None
    sd = float(np.std(values, ddof=1))
    return Spread(float(np.mean(values)), max(sd, resolution / sqrt(6)), len(values))


def t_interval(found: Spread, confidence: float = 0.95) -> Interval:
    """Student's interval of the mean."""
    half = float(stdtrit(found.seeds - 1, 0.5 + confidence / 2)) * found.error
    return Interval(found.mean, found.mean - half, found.mean + half)


def t_test(found: Spread) -> float:
    """The two-sided p of "the mean is 0"."""
    return float(2 * stdtr(found.seeds - 1, -abs(found.mean) / found.error))


def tost(found: Spread, margin: float) -> float:
    """The p of "the mean is at least `margin` away from 0"; small means equivalent."""
    degrees = found.seeds - 1
    above = stdtr(degrees, -(found.mean + margin) / found.error)
    below = stdtr(degrees, -(margin - found.mean) / found.error)
    return float(max(above, below))


def sign_flip(differences: Sequence[float]) -> SignFlip:
    """Two-sided sign-flip permutation test of the mean; exact up to 13 seeds, then drawn."""
    seeds = len(differences)
    floor = max(2.0 / 2**seeds, 2.0 / (FLIPS + 1) if 2**seeds > FLIPS else 0.0)
    if seeds < 2:
        return SignFlip(1.0, min(floor, 1.0))
    found = stats.permutation_test(
        (np.asarray(differences, dtype=float),),
        np.mean,
        permutation_type="samples",
        n_resamples=FLIPS,
        rng=np.random.default_rng(0),  # a report that is made again says the same
    )
    return SignFlip(float(found.pvalue), floor)
