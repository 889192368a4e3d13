"""Learning curves: areas and crossings by hand, censored runs, the log-rank test."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.errors import UserError
from mssr_rl.stats.learning_curves import Curve, area, budget_to, common_mark, race_to

CURVE = Curve([0, 100, 300], [0.4, 0.6, 0.5])


def test_the_area_is_a_mean_accuracy_over_the_budget() -> None:
    # 100 * 0.5 + 200 * 0.55 = 160, over 300.
    assert area(CURVE) == pytest.approx(160 / 300)


def test_the_area_until_a_mark_between_two_evaluations() -> None:
    # 100 * 0.5 + 100 * (0.6 + 0.55) / 2 = 107.5, over 200.
    assert area(CURVE, until=200) == pytest.approx(107.5 / 200)


def test_an_area_beyond_the_curve_is_refused() -> None:
    with pytest.raises(UserError, match="from 0 to 300, its area until 400 is not known"):
        area(CURVE, until=400)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_an_area_lies_within_the_accuracies(accuracy: list[float]) -> None:
    curve = Curve(range(len(accuracy)), accuracy)
    assert min(accuracy) - 1e-9 <= area(curve) <= max(accuracy) + 1e-9


def test_the_target_is_reached_between_two_marks() -> None:
    assert budget_to(CURVE, 0.45) == (pytest.approx(25.0), True)
    assert budget_to(CURVE, 0.6) == (100.0, True)


def test_a_run_that_starts_above_the_target_needs_nothing() -> None:
    assert budget_to(CURVE, 0.3) == (0.0, True)


def test_a_run_that_never_gets_there_is_censored_at_its_end() -> None:
    assert budget_to(CURVE, 0.7) == (300.0, False)


def test_a_fast_and_a_slow_arm_are_told_apart_censored_runs_included() -> None:
    fast = [Curve([0, 100, 200], [0.4, 0.5 + 0.02 * i, 0.6]) for i in range(5)]
    slow = [Curve([0, 100, 200], [0.4, 0.41, 0.46 + 0.01 * i]) for i in range(5)]
    race = race_to(fast, slow, 0.5)
    assert all(run.reached for run in race.a)
    assert sum(run.reached for run in race.b) == 1
    assert race.p is not None
    assert race.p < 0.01
    assert race.floor == pytest.approx(2 / 252)  # of the splits of ten runs, this and its mirror


def test_the_floor_of_few_runs_is_that_of_exchanging_them() -> None:
    assert race_to([CURVE], [CURVE, CURVE], 0.5).floor == pytest.approx(1 / 3)
    assert race_to([CURVE] * 3, [CURVE] * 3, 0.5).floor == pytest.approx(0.1)


def test_log_rank_by_hand() -> None:
    # At 1, one of two arrives: expected 1/2, variance 1/4. At 2 only one is left: variance 0.
    a, b = Curve([0, 1], [0, 1]), Curve([0, 2], [0, 1])
    race = race_to([a], [b], 1.0)
    assert race.p == pytest.approx(math.erfc(1 / math.sqrt(2)))  # z = (1 - 1/2) / (1/2) = 1


def test_a_target_that_nobody_reached_has_no_test() -> None:
    assert race_to([CURVE], [CURVE, CURVE], 0.9).p is None
    assert race_to([CURVE], [CURVE], 0.45).p is None  # all at the same budget


def test_the_common_mark_is_the_shortest_run() -> None:
    assert common_mark({"a": [CURVE], "b": [Curve([0, 250], [0.4, 0.5]), CURVE]}) == 250


def test_marks_that_do_not_rise_are_refused() -> None:
    for curve in (Curve([0, 0], [0.1, 0.2]), Curve([0, 1], [0.1]), Curve([], [])):
        with pytest.raises(UserError, match="one accuracy for every budget mark, and the marks"):
            area(curve)
