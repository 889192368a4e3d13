"""Per-seed differences: worked by hand, equal to scipy and statsmodels, and never NaN."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from mssr_rl.errors import UserError
from mssr_rl.stats.paired import Spread, sign_flip, spread, t_interval, t_test, tost

GRID = 1e-6
A = (0.52, 0.57, 0.55, 0.61, 0.58)
B = (0.50, 0.51, 0.56, 0.55, 0.53)
D = tuple(a - b for a, b in zip(A, B, strict=True))  # 2, 6, -1, 6, 5 points

accuracies = st.lists(st.floats(0, 1), min_size=2, max_size=12)


def measured(values: tuple[float, ...] | list[float], resolution: float = GRID) -> Spread:
    found = spread(values, resolution)
    assert found is not None
    return found


def test_the_interval_of_five_differences_by_hand() -> None:
    # Mean 3.6 points; squared deviations 2.56 + 5.76 + 21.16 + 5.76 + 1.96 = 37.2, so the variance
    # is 9.3 and the error sqrt(9.3 / 5) = 1.36382; t at 4 degrees of freedom is 2.77645.
    found = t_interval(measured(D))
    assert found.value == pytest.approx(0.036)
    assert found.high - found.value == pytest.approx(2.77645 * 0.0136382, rel=1e-5)
    assert found.value - found.low == pytest.approx(2.77645 * 0.0136382, rel=1e-5)


@given(accuracies, st.randoms(use_true_random=False))
def test_test_and_interval_are_those_of_scipy(a: list[float], random: object) -> None:
    b = np.random.default_rng(len(a)).permutation(a) + np.linspace(0, 0.1, len(a))
    d = np.asarray(a) - b
    if np.std(d, ddof=1) < 1e-3:
        return  # where scipy loses its digits
    theirs, ours = stats.ttest_rel(a, b), measured(d.tolist())
    assert t_test(ours) == pytest.approx(theirs.pvalue, rel=1e-9)
    assert t_interval(ours)[1:] == pytest.approx(theirs.confidence_interval(0.95), rel=1e-9)


@pytest.mark.parametrize("margin", [0.01, 0.05, 0.2])
def test_equivalence_is_that_of_statsmodels(margin: float) -> None:
    theirs = ttost_paired(np.array(A), np.array(B), -margin, margin)[0]
    assert tost(measured(D), margin) == pytest.approx(theirs, rel=1e-9)


@given(accuracies, st.floats(0.001, 0.5))
def test_turning_a_pair_round_changes_no_p(values: list[float], margin: float) -> None:
    one, other = measured(values), measured([-x for x in values])
    assert t_test(one) == pytest.approx(t_test(other), rel=1e-6, abs=1e-12)
    assert tost(one, margin) == pytest.approx(tost(other, margin), rel=1e-6, abs=1e-12)


# ---- too little spread ----


def test_equal_differences_have_the_spread_of_the_grid() -> None:
    # 1 of 512 questions, twice: rounding has sd 1 / 512 / sqrt(6), so t = sqrt(2) * sqrt(6) at one
    # degree of freedom, whose two-sided p is 1 - 2 / pi * atan(t).
    found = measured([1 / 512, 1 / 512], resolution=1 / 512)
    assert t_test(found) == pytest.approx(1 - 2 / math.pi * math.atan(math.sqrt(12)))


def test_eight_points_in_every_one_of_five_seeds_are_significant() -> None:
    assert t_test(measured([0.08] * 5, resolution=1 / 512)) < 1e-6


def test_arms_that_agree_in_every_seed_are_equivalent_if_the_questions_are_many() -> None:
    assert tost(measured([0.0] * 5, resolution=1 / 512), 0.01) < 1e-4
    assert tost(measured([0.0] * 2, resolution=1 / 10), 0.01) > 0.05


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(1e-4, 0.5))
def test_no_data_gives_a_number_that_is_none(values: list[float], resolution: float) -> None:
    found = measured(values, resolution)
    numbers = [t_test(found), tost(found, 0.01), *t_interval(found)]
    assert all(math.isfinite(x) for x in numbers)
    assert all(0 <= p <= 1 for p in numbers[:2])


def test_one_seed_has_no_spread() -> None:
    assert spread([0.3], GRID) is None
    assert spread([], GRID) is None


def test_a_resolution_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="resolution=0, but it must be above 0"):
        spread([0.1, 0.2], 0)


# ---- sign flips ----


def test_five_differences_of_one_sign_reach_the_floor_and_no_further() -> None:
    assert sign_flip([0.02, 0.06, 0.01, 0.06, 0.05]) == (0.0625, 0.0625)
    assert sign_flip([0.02, 0.06, 0.01, 0.06, 0.05, 0.03]).floor == 0.03125


def test_sign_flips_by_hand() -> None:
    # |sum| of +-1 +-2 +-4 is 7, 5, 3, 1 twice each; 1 + 2 - 4 = -1 is reached by all eight.
    assert sign_flip([1, 2, -4]).p == 1.0
    # 4 + 2 - 1 = 5 is reached by four of eight.
    assert sign_flip([4, 2, -1]).p == 0.5


def test_sign_flips_of_many_seeds_say_the_same_twice() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 30).tolist()
    assert sign_flip(values) == sign_flip(values)
    assert sign_flip(values).p == pytest.approx(t_test(measured(values)), abs=0.03)


def test_one_seed_cannot_be_flipped_into_evidence() -> None:
    assert sign_flip([0.4]) == (1.0, 1.0)
