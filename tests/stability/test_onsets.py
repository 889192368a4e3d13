"""The outcomes fixed beforehand: when a run collapses, in updates, and censoring."""

from typing import Any

import pytest

from mssr_rl.stability.onsets import onsets
from mssr_rl.stats.survival import Lifetime

PLANNED, PER_STEP = 120, 16
END = PLANNED * PER_STEP


def rows_of(trace: Any) -> list[dict[str, float]]:
    return [{**row, "budget/updates": PER_STEP * row["step"]} for row in trace.rows]


def marks_of(trace: Any) -> list[dict[str, Any]]:
    return [{**mark._asdict(), "split": "val"} for mark in trace.marks]


def outcomes(trace: Any, **options: bool) -> dict[str, Lifetime]:
    return onsets(PLANNED, rows_of(trace), marks_of(trace), **options)


def test_a_healthy_run_is_censored_at_its_last_update_in_every_outcome(made):
    found = outcomes(made.run())
    assert found == dict.fromkeys(("entropy", "validation", "explosion", "any"), (END, False))


def test_entropy_counts_from_the_update_at_which_it_was_low_for_a_window(made):
    low = {"actor/entropy": made.after(50, 0.01, 0.16)}
    falling = made.marks(0.5, 0.45, 0.45, 0.45, 0.45)
    found = outcomes(made.run(low, marks=falling))
    # The window is 6 steps: steps 50 to 55.
    assert found["entropy"] == Lifetime(55 * PER_STEP, True)
    assert found["any"] == found["entropy"]
    assert not found["validation"].happened


def test_low_entropy_with_a_new_best_accuracy_is_no_collapse_of_entropy(made):
    low = {"actor/entropy": made.after(115, 0.01, 0.16)}
    assert not outcomes(made.run(low))["entropy"].happened


@pytest.mark.parametrize(
    ("curve", "value", "step"), [("actor/entropy", 0.9, 55), ("actor/kl_step", 0.5, 52)]
)
def test_entropy_and_kl_that_rise_are_an_explosion(made, curve, value, step):
    found = outcomes(made.run({curve: made.after(50, value, 0.16 if "entropy" in curve else 0.0)}))
    assert found["explosion"] == Lifetime(step * PER_STEP, True)
    assert not found["entropy"].happened


def test_validation_that_falls_twice_in_a_row_counts_at_its_second_evaluation(made):
    found = outcomes(made.run(marks=made.marks(0.5, 0.6, 0.4, 0.4, 0.4)))
    assert found["validation"] == Lifetime(90 * PER_STEP, True)


def test_a_run_that_nan_ended_exploded_at_its_last_update(made):
    whole = made.run()
    trace = whole._replace(rows=whole.rows[:40])
    assert outcomes(trace, broken=True)["explosion"] == Lifetime(40 * PER_STEP, True)
