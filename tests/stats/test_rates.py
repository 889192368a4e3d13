"""Collapse rates: the textbook numbers."""

import pytest

from mssr_rl.stats.rates import rate, rates_differ


def test_none_of_five_still_allows_half() -> None:
    assert rate(0, 5) == pytest.approx((0.0, 0.0, 0.5218), abs=1e-4)  # 1 - 0.025 ** (1 / 5)


def test_four_of_five_against_none_is_just_significant_and_three_are_not() -> None:
    assert rates_differ((4, 5), (0, 5)) == pytest.approx(10 / 210)  # 2 * C(5, 4) / C(10, 4)
    assert rates_differ((3, 5), (0, 5)) == pytest.approx(0.1667, abs=1e-4)


def test_no_run_says_nothing() -> None:
    assert rate(0, 0) == (0.0, 0.0, 1.0)
