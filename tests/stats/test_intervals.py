"""stats: intervals worked by hand, and the laws they obey."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.stats.intervals import paired_change, wilson


def test_wilson_of_half_of_ten_is_the_textbook_interval() -> None:
    found = wilson(0.5, 10)
    assert found.low == pytest.approx(0.2366, abs=5e-5)
    assert found.high == pytest.approx(0.7634, abs=5e-5)
    assert found.value == 0.5


def test_one_trial_is_a_trial() -> None:
    found = wilson(1.0, 1)  # n / (n + z^2)
    assert found.low == pytest.approx(1 / (1 + 1.959964**2), abs=1e-6)
    assert found.high == pytest.approx(1.0)


def test_nothing_right_still_leaves_room_above() -> None:
    assert wilson(0.0, 20).low == 0.0
    assert wilson(0.0, 20).high == pytest.approx(0.1611, abs=5e-5)


def test_no_trials_say_nothing() -> None:
    assert wilson(0.3, 0) == (0.3, 0.0, 1.0)


@given(st.floats(0, 1), st.integers(1, 10**6))
def test_an_interval_holds_its_estimate_and_stays_a_share(share: float, n: int) -> None:
    found = wilson(share, n)
    assert 0.0 <= found.low <= share + 1e-12
    assert share - 1e-12 <= found.high <= 1.0


def test_a_paired_change_is_the_mean_difference_with_its_normal_interval() -> None:
    found = paired_change([0, 0, 1, 0], [1, 0, 1, 1])  # differences 1, 0, 0, 1: sd 1/sqrt(3)
    assert found is not None
    assert found.value == 0.5
    assert found.high - found.value == pytest.approx(1.959964 * (1 / 3) ** 0.5 / 2, abs=1e-6)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_a_change_is_of_the_same_problems() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_change([0, 1, 1], [1, 0])


def test_one_problem_has_no_interval() -> None:
    assert paired_change([0], [1]) is None
