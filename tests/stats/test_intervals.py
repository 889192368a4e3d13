"""stats: intervals worked by hand, and the laws they obey."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.stats.intervals import clustered, paired_change, wilson


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
    found = paired_change([0, 0, 1, 0] * 2, [1, 0, 1, 1] * 2)  # four of eight: sd sqrt(2/7)
    assert found is not None
    assert found.value == 0.5
    assert found.high - found.value == pytest.approx(1.959964 * (2 / 7 / 8) ** 0.5, abs=1e-6)
    assert found.value - found.low == pytest.approx(found.high - found.value)


def test_a_change_is_of_the_same_problems() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired_change([0, 1, 1], [1, 0])


def test_one_problem_has_no_interval() -> None:
    assert paired_change([0], [1]) is None


def test_clusters_that_are_all_wrong_or_all_right_count_as_one_trial_each() -> None:
    for right in (0, 1):
        found = clustered([[right] * 5] * 40)
        assert found == pytest.approx(wilson(right, 40))
    uneven = clustered([[0] * 8, [0], [0]])  # 100 / 66 trials
    assert uneven == pytest.approx(wilson(0.0, 100 / 66))


def test_clusters_within_0_and_1_keep_the_robust_interval() -> None:
    # Four clusters, each off by 1: sqrt(4) / 8.
    found = clustered([[1, 1], [0, 0], [1, 1], [0, 0]])
    assert found == pytest.approx((0.5, 0.5 - 0.25 * 1.959964, 0.5 + 0.25 * 1.959964))


@pytest.mark.parametrize(("share", "alike"), [(0.01, 0.8), (0.03, 0.3), (0.1, 0.8)])
def test_few_right_answers_in_clusters_are_covered(share: float, alike: float) -> None:
    rng = np.random.default_rng(0)
    known_G1 = rng.beta(share * (1 / alike - 1), (1 - share) * (1 / alike - 1), (500, 40, 1))
    found = [clustered(r) for r in (rng.random((500, 40, 5)) < known_G1).astype(int).tolist()]
    covered = np.mean([one.low <= share <= one.high for one in found])
    assert covered >= 0.9  # the robust interval alone: 0.44, 0.83, 0.90


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=5), min_size=1, max_size=9))
def test_an_interval_of_clusters_holds_its_share(clusters: list[list[int]]) -> None:
    found = clustered(clusters)
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert found.high - found.low > 0.01


def test_changes_that_are_all_equal_have_an_interval_too() -> None:
    found = paired_change([0] * 8, [0] * 8)
    assert found is not None
    half = 1.959964 * 2**0.5 / 10  # two more problems, one better and one worse
    assert found == pytest.approx((0.0, -half, half))


def test_a_change_ends_at_100_points() -> None:
    found = paired_change([0, 0, 1], [1, 1, 0])
    assert found is not None
    assert -1 <= found.low <= found.high == 1.0
