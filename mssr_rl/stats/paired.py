"""Paired tests of two arms over K seeds; the verdicts use them.

Each seed gives one difference d = a - b in final accuracy. Its two trainings have the same data
order and evaluation seeds. A t-test with K - 1 degrees of freedom tests whether the mean differs
from 0. Two one-sided t-tests (TOST) test whether the mean is equivalent to 0. A sign-flip test is
reported too. With few seeds it cannot reach a small p, and the report shows this.

The code uses scipy's t distribution instead of `ttest_rel` and `ttost_paired`. The results agree (a
test checks it), but those functions give NaN if all differences are equal. Accuracy is a count over
n questions, so equal differences only mean that their spread is below 1/n. Therefore the standard
deviation is never taken as smaller than that of rounding to multiples of 1/n.
"""

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.special import stdtr, stdtrit  # Student's t; scipy.stats takes 50 times as long

from mssr_rl.errors import UserError
from mssr_rl.stats.intervals import Interval

FLIPS = 9_999  # if more sign flips exist, this many are drawn at random


class Spread(NamedTuple):
    """The mean and the standard deviation of K numbers, one per seed."""

    mean: float
    sd: float  # sample standard deviation, at least that of rounding
    seeds: int  # K

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.sd / sqrt(self.seeds)


class SignFlip(NamedTuple):
    """The result of a sign-flip test: a p-value, and the smallest p-value that was possible.

    The test gives the observed differences random signs. Its p-value is the share of sign choices
    whose mean is at least as far from 0 as the observed mean.
    """

    p: float
    floor: float  # the smallest p that K differences can give: 2 / 2^K


def spread(values: Sequence[float], resolution: float) -> Spread | None:
    """Return the mean and the standard deviation; None for fewer than two values.

    `resolution` is the smallest step of one accuracy: 1 / number of questions. Rounding to it has a
    standard deviation of resolution / sqrt(12). A difference holds two rounded numbers, so its
    standard deviation is at least resolution / sqrt(6). Raise `UserError` unless `resolution` > 0.
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


def t_interval(sample: Spread, confidence: float = 0.95) -> Interval:
    """Return Student's confidence interval of the mean."""
    half = float(stdtrit(sample.seeds - 1, 0.5 + confidence / 2)) * sample.error
    return Interval(sample.mean, sample.mean - half, sample.mean + half)


def t_test(sample: Spread) -> float:
    """Return the two-sided p-value of the null hypothesis "the mean is 0"."""
    return float(2 * stdtr(sample.seeds - 1, -abs(sample.mean) / sample.error))


def tost(sample: Spread, margin: float) -> float:
    """Return the p-value of the null hypothesis "the mean is at least `margin` away from 0".

    A small p means that the arms are equivalent.
    """
    degrees = sample.seeds - 1
    above = stdtr(degrees, -(sample.mean + margin) / sample.error)
    below = stdtr(degrees, -(margin - sample.mean) / sample.error)
    return float(max(above, below))


def sign_flip(differences: Sequence[float]) -> SignFlip:
    """Return the two-sided sign-flip test of the mean.

    It uses all choices of signs up to 13 seeds, and a random sample of them for more seeds.
    """
    seeds = len(differences)
    floor = max(2.0 / 2**seeds, 2.0 / (FLIPS + 1) if 2**seeds > FLIPS else 0.0)
    if seeds < 2:
        return SignFlip(1.0, min(floor, 1.0))
    test = stats.permutation_test(
        (np.asarray(differences, dtype=float),),
        np.mean,
        permutation_type="samples",
        n_resamples=FLIPS,
        rng=np.random.default_rng(0),  # fixed, so that a report made again shows the same numbers
    )
    return SignFlip(float(test.pvalue), floor)
