"""results: what may be said about accuracy, and what may not."""

from typing import Any

import pytest

from mssr_rl.report.results import breakdowns, scores, sentence


def evaluation(step: int, right: int, n: int = 200, split: str = "val") -> dict[str, Any]:
    keys = [f"p{i}" for i in range(n)]
    return {
        "step": step,
        "env": "vision_r1",
        "split": split,
        "n": n,
        "samples": 4,
        "accuracy": right / n,
        "accuracy_sampled": right / n / 2,
        "per_problem": {key: int(i < right) for i, key in enumerate(keys)},
        "per_problem_sampled": {key: 2 * int(i < right) for i, key in enumerate(keys)},
        "by_tag": {"level": {"2": tagged(right / n), "10": tagged(0.5)}},
    }


def tagged(accuracy: float) -> dict[str, float]:
    return {"n": 100, "accuracy": accuracy, "accuracy_sampled": accuracy / 2}


def overlapping(rows: int) -> dict[str, object]:
    return {"split": "val", "with": "train", "of": 200, "rows": rows, "stands_in": False}


def test_problems_are_called_held_out_only_where_that_was_checked() -> None:
    found = scores([evaluation(0, 60), evaluation(40, 100)])
    assert sentence(found).startswith("On 200 validation problems, ")
    assert sentence(found, [{**overlapping(0), "with": "test"}, "?"]).startswith(
        "On 200 validation problems, "
    )
    nearly = [{**overlapping(1), "near": 1}]
    assert "(1 of 200 are nearly the same as training problems), " in sentence(found, nearly)
    assert sentence(found, [overlapping(30)]).startswith(
        "On 200 validation problems (30 of 200 are training problems too), "
    )


def test_a_clear_gain_is_said_to_rise() -> None:
    checked = [overlapping(0)]
    found = scores([evaluation(0, 60), evaluation(40, 100)])
    assert sentence(found, checked).replace("\u00a0", " ") == (
        "On 200 held-out validation problems, greedy accuracy rose from 30.0 % to 50.0 % "
        "(95 % interval 43.1 to 56.9) and sampled accuracy rose from 15.0 % to 25.0 %."
    )


def test_a_clear_loss_is_said_to_fall() -> None:
    assert "greedy accuracy fell" in sentence(scores([evaluation(0, 100), evaluation(40, 60)]))


def test_a_change_within_chance_is_not_called_a_gain() -> None:
    said = sentence(scores([evaluation(0, 60), evaluation(40, 61)]))
    assert "greedy accuracy did not change significantly" in said


def test_an_unfinished_run_only_has_its_first_accuracy() -> None:
    found = scores([evaluation(0, 60)])
    assert (found[0].start, found[0].change) == (None, None)
    assert "greedy accuracy is 30.0" in sentence(found)


def test_without_an_evaluation_there_is_no_result() -> None:
    assert sentence(scores([])) == "Not evaluated yet."


def test_sampled_changes_count_shares_of_the_answers() -> None:
    sampled = scores([evaluation(0, 60), evaluation(40, 100)])[1]
    assert sampled.change is not None
    assert sampled.change.value == pytest.approx(0.1)


def test_the_end_is_the_last_evaluation_even_if_an_earlier_one_was_better() -> None:
    rows = [evaluation(0, 60), evaluation(20, 150), evaluation(40, 70)]
    assert scores(rows)[0].end.value == 0.35


def test_changes_are_not_paired_over_different_problems() -> None:
    assert scores([evaluation(0, 60, n=100), evaluation(40, 100)])[0].change is None


def test_validation_comes_before_test() -> None:
    found = scores([evaluation(40, 90, split="test"), evaluation(0, 60)])
    assert [s.split for s in found] == ["val", "val", "test", "test"]


def test_tags_are_listed_from_start_to_end_in_natural_order() -> None:
    (table,) = breakdowns([evaluation(0, 60), evaluation(40, 100)])
    assert [row.name for row in table.rows] == ["2", "10"]
    assert table.rows[0].greedy == (0.3, 0.5)


def test_a_table_says_how_far_off_its_smallest_row_may_be() -> None:
    (table,) = breakdowns([evaluation(0, 60)])
    assert table.margin == pytest.approx(0.0962, abs=5e-5)  # Wilson, 50 of 100


def test_one_evaluation_gives_tags_without_a_start() -> None:
    (table,) = breakdowns([evaluation(0, 60)])
    assert table.rows[0].greedy == (None, 0.3)
