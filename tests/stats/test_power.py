"""What more seeds could do: golden numbers, and the agreement with simulated trials."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mssr_rl.stats.paired import spread, tost
from mssr_rl.stats.power import (
    detectable,
    power_of_tost,
    seeds_to_detect,
    seeds_to_equate,
)


@pytest.mark.parametrize(("seeds", "sds"), [(3, 3.26), (5, 1.68), (10, 1.00)])
def test_the_smallest_difference_that_so_many_seeds_show(seeds: int, sds: float) -> None:
    assert detectable(1.0, seeds) == pytest.approx(sds, abs=0.005)
    assert detectable(0.02, seeds) == pytest.approx(0.02 * sds, abs=1e-4)


def test_one_seed_shows_no_difference_at_all() -> None:
    assert detectable(0.01, 1) is None


def found_in(effect: float, seeds: int) -> float:
    """The power of a two-sided t-test at 5 %, straight from the non-central t."""
    critical = stats.t.ppf(0.975, seeds - 1)
    return float(stats.nct.sf(critical, seeds - 1, effect * seeds**0.5))


@given(st.floats(0.3, 8))
def test_the_seeds_to_detect_are_the_fewest_with_enough_power(effect: float) -> None:
    seeds = seeds_to_detect(1.0, effect)
    assert seeds is not None
    assert found_in(effect, seeds) >= 0.8
    assert seeds == 2 or found_in(effect, seeds - 1) < 0.8


def test_what_needs_more_than_a_thousand_seeds_is_not_counted() -> None:
    assert seeds_to_detect(1.0, 0.05) is None
    assert seeds_to_equate(1.0, 0.05) is None


def test_equivalence_at_one_point_needs_this_little_spread() -> None:
    assert power_of_tost(0.005, 0.01, 5) == pytest.approx(0.95, abs=0.005)
    assert power_of_tost(0.010, 0.01, 10) == pytest.approx(0.80, abs=0.01)
    assert seeds_to_equate(0.010, 0.01) == 11


def test_the_power_of_equivalence_is_what_simulated_trials_find() -> None:
    rng = np.random.default_rng(0)
    trials = [spread(rng.normal(0, 0.008, 6).tolist(), 1e-6) for _ in range(2_000)]
    found = np.mean([tost(trial, 0.01) < 0.05 for trial in trials if trial is not None])
    # 2,000 trials: a standard error of 0.011
    assert power_of_tost(0.008, 0.01, 6) == pytest.approx(found, abs=0.035)
