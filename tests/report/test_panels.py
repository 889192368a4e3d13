"""panels: which curves a run gets, and over what."""

from typing import Any

from mssr_rl.report.panels import charts, window


def row(step: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "reward/mean": 0.5, "budget/rollouts": 256 * step, **more}


def evaluation(step: int, split: str = "val") -> dict[str, Any]:
    return {
        "step": step,
        "split": split,
        "n": 100,
        "accuracy": 0.4,
        "accuracy_sampled": 0.3,
        "budget": {"rollouts": 256 * step},
    }


def test_curves_run_over_charged_rollouts_and_know_the_step() -> None:
    point = charts([row(3)], []).main[1].lines[0].points[0]
    assert (point.x, point.step) == (768.0, 3.0)


def test_validation_accuracy_is_two_lines_with_wilson_intervals() -> None:
    chart = charts([], [evaluation(0), evaluation(20), evaluation(20, "test")]).main[0]
    assert [line.name for line in chart.lines] == ["greedy", "sampled"]
    first = chart.lines[0].points[0]
    assert len(chart.lines[0].points) == 2
    assert (first.low or 1) < 0.4 < (first.high or 0)


def test_an_algorithm_gets_the_curves_it_measured_known_or_not() -> None:
    found = charts([row(1, **{"tracker/mean": 0.4, "mine/surprise": 2.0})], []).own
    assert [chart.title for chart in found] == ["Tracked value", "mine/surprise"]


def test_an_algorithm_without_measurements_gets_no_extra_curves() -> None:
    assert charts([row(1, **{"actor/entropy": 1.0})], []).own == ()


def test_a_metric_that_is_missing_or_null_at_a_step_is_a_gap() -> None:
    rows = [row(1, **{"actor/entropy": 1.0}), row(2), row(3, **{"actor/entropy": None})]
    line = charts(rows, []).health[0].lines[0]
    assert len(line.points) == 3
    assert len(line.finite) == 1


def test_short_runs_are_not_smoothed_and_windows_are_odd() -> None:
    assert window(9) == 1
    assert [window(n) for n in (10, 120, 3000)] == [5, 9, 201]
