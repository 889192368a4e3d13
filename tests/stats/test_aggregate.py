"""Several environments in one number: by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.stats.aggregate import iqm, macro, probability_of_improvement


def test_the_interquartile_mean_drops_the_outer_quarters() -> None:
    assert iqm([-9, 1, 2, 3, 4, 5, 6, 99]) == pytest.approx(3.5)


def test_the_probability_of_improvement_counts_pairs_and_half_of_ties() -> None:
    # (3, 1): 1, (3, 2): 1, (1, 1): 1/2, (1, 2): 0
    assert probability_of_improvement({"x": [3, 1]}, {"x": [1, 2]}) == pytest.approx(2.5 / 4)
    two = probability_of_improvement({"x": [3, 1], "y": [1]}, {"x": [1, 2], "y": [0]})
    assert two == pytest.approx((2.5 / 4 + 1) / 2)


@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1))
def test_improvement_of_one_is_what_the_other_lacks(a: list[int], b: list[int]) -> None:
    both = (
        probability_of_improvement({"x": a}, {"x": b}),
        probability_of_improvement({"x": b}, {"x": a}),
    )
    assert sum(both) == pytest.approx(1)


def test_a_macro_mean_takes_seeds_that_have_every_environment() -> None:
    assert macro({"x": {0: 0.4, 1: 0.5}, "y": {1: 0.7, 2: 0.1}}) == pytest.approx({1: 0.6})
    assert macro({}) == {}
