"""Racing: the e-value by hand, and how often its rule drops equal arms and real losers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.errors import UserError
from mssr_rl.stats.racing import check_race, e_value, earliest, standing


def dropped_by(mean: float, seeds: int, looks: int, arms: int = 2) -> float:
    """The share of simulated arms that are out after `looks` of `seeds` seeds."""
    rng = np.random.default_rng([seeds, looks])
    found = [standing(rng.normal(mean, 1, seeds).tolist(), arms).out_after for _ in range(2_000)]
    return float(np.mean([out is not None and out <= looks for out in found]))


def test_the_e_value_by_hand() -> None:
    assert e_value([0.3]) == pytest.approx(1.0)  # one seed has no spread
    # S = 3, V = 5: sqrt(1/3) * 15 / (15 - 9)
    assert e_value([1, 2]) == pytest.approx(2.5 / 3**0.5)
    assert e_value([1.0] * 5) == pytest.approx(36)  # the most that five seeds can give


def test_differences_that_are_all_zero_are_no_evidence() -> None:
    assert e_value([0.0] * 8) == pytest.approx(1 / 3)


@given(st.lists(st.floats(-1, 1).filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=9))
def test_the_scale_does_not_matter_nor_the_sign(values: list[float]) -> None:
    scaled = [-7 * x for x in values]
    assert e_value(scaled) == pytest.approx(e_value(values), rel=1e-6)


def test_equal_arms_are_dropped_below_alpha_however_often_one_looks() -> None:
    assert 0.001 < dropped_by(0.0, seeds=30, looks=30) < 0.025


def test_a_loser_by_two_standard_deviations_is_out_by_the_eighth_seed() -> None:
    assert dropped_by(-2.0, seeds=8, looks=8) == pytest.approx(0.71, abs=0.03)
    assert dropped_by(-2.0, seeds=8, looks=6) == pytest.approx(0.20, abs=0.03)


def test_a_winner_is_never_dropped() -> None:
    assert standing([0.05, 0.06, 0.05, 0.06, 0.05, 0.06, 0.05, 0.05], arms=2).out_after is None


def test_an_arm_that_was_out_stays_out() -> None:
    losing = [-0.05, -0.06, -0.05, -0.06, -0.05, -0.06]
    found = standing([*losing, 0.9, 0.9, 0.9], arms=2)
    assert found.out_after == standing(losing, arms=2).out_after == 6
    assert found.e_value >= found.threshold == 40


def test_an_arm_that_runs_on_stands_at_its_e_value() -> None:
    assert standing([1, 2], arms=2) == (e_value([1, 2]), 40, None)
    assert standing([-1, 1, 0], arms=2).e_value == pytest.approx(0.5)


def test_more_arms_ask_for_more_evidence() -> None:
    losing = [-0.05] * 6
    assert standing(losing, arms=2).out_after == 6
    assert standing(losing, arms=5).threshold == 160
    assert standing(losing, arms=5).out_after is None
    assert (earliest(2), earliest(5)) == (6, 7)


def test_a_race_over_too_few_seeds_is_refused() -> None:
    check_race(arms=2, seeds=7)
    with pytest.raises(UserError, match=r"seeds=6: no arm can be dropped before .* at least 7"):
        check_race(arms=2, seeds=6)
    with pytest.raises(UserError, match="needs at least two arms"):
        check_race(arms=1, seeds=9)
