"""Survival of runs: curves, the log-rank test and Cox's ratio, against numbers worked by hand."""

from math import log

import pytest

from mssr_rl.stats.rates import pass_at
from mssr_rl.stats.survival import (
    Lifetime,
    hazard_ratio,
    logrank,
    median_lifetime,
    survival_curve,
)

EARLY = [Lifetime(300, True), Lifetime(500, True), Lifetime(700, True)]
LATE = [Lifetime(600, True), Lifetime(1920, False), Lifetime(1920, False)]


def test_a_censored_run_counts_as_at_risk_until_its_end_and_never_as_an_event():
    curve = survival_curve(
        [Lifetime(300, True), Lifetime(400, False), Lifetime(500, True), Lifetime(1920, False)]
    )
    assert curve.updates == (300, 500)
    # 3 of 4 survive 300; after the run censored at 400, two are at risk at 500.
    assert curve.surviving == pytest.approx((3 / 4, 3 / 4 * 1 / 2))


def test_runs_that_all_last_to_their_end_have_no_curve_and_no_median():
    assert survival_curve(LATE[1:]).updates == ()
    assert median_lifetime(LATE) is None
    assert median_lifetime(EARLY) == 500


def test_the_logrank_test_gives_the_number_of_a_table_worked_by_hand():
    # Observed and expected events of EARLY at 300, 500, 600, 700: at risk 3/6, 2/5, 1/4, 1/3.
    expected = 3 / 6 + 2 / 5 + 1 / 4 + 1 / 3
    variance = 1 / 4 + 6 / 25 + 3 / 16 + 2 / 9
    chi2 = (3 - expected) ** 2 / variance
    from scipy.stats import chi2 as chi2_distribution

    p = logrank({"a": EARLY, "b": LATE})
    assert p == pytest.approx(chi2_distribution.sf(chi2, 1))


def test_without_an_event_or_a_second_group_there_is_no_test():
    assert logrank({"a": LATE[1:], "b": LATE[1:]}) is None
    assert logrank({"a": EARLY, "b": []}) is None


def test_the_hazard_ratio_is_above_one_for_the_group_that_collapses_sooner():
    ratio = hazard_ratio(EARLY, LATE)
    assert ratio is not None
    assert ratio.low < ratio.value < ratio.high
    assert ratio.value > 1
    back = hazard_ratio(LATE, EARLY)
    assert back is not None
    assert log(back.value) == pytest.approx(-log(ratio.value), abs=1e-4)
    assert hazard_ratio(EARLY, LATE[1:]) is None


def test_pass_at_k_is_the_chance_that_k_of_the_answers_hold_a_right_one():
    # One right of four: two answers miss it in 3 of 6 draws. No right answer: never.
    assert pass_at(2, [1, 0], 4) == pytest.approx((0.5 + 0) / 2)
    assert pass_at(4, [1, 4], 4) == 1
    with pytest.raises(ValueError, match=r"pass@8 needs at least 8 answers"):
        pass_at(8, [1], 4)
