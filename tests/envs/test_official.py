"""Benchmarks' own scoring rules, held against verdicts that their own code gave."""

import json
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.envs import environments, hallusion_bench, official_mathv, official_mathvista
from mssr_rl.errors import UserError
from mssr_rl.grading.precision import verify_rounded
from mssr_rl.grading.verify import gold_response
from mssr_rl.problem import Problem

RECORDED = Path(__file__).parent / "recorded" / "mathv_outputs.jsonl"


def problem(answer: str, options: list[str] | None = None, **extras: str) -> Problem:
    return Problem(
        key="a", prompt="?", answer=answer, choices=tuple(options or ()) or None,
        extras={"raw_answer": answer, **extras},
    )  # fmt: skip


# ---- MATH-V ----


def test_every_recorded_verdict_of_math_v_is_given_again() -> None:
    rows = [json.loads(line) for line in RECORDED.read_text("utf-8").splitlines()]
    assert len(rows) > 100
    for row in rows:
        asked = problem(row["answer"], row["options"])
        found = official_mathv.verdict(asked, row["response"])
        assert found.correct == row["correct"], row
        assert (found.extracted or "") == row["taken"].strip(), row


@pytest.mark.parametrize(
    ("response", "answer", "options", "right"),
    [
        ("The answer is 1:2", "\\frac{1}{2}", [], True),
        ("\\boxed{12.57}", "$4\\pi$", [], True),
        ("\\boxed{(1,2.001)}", "(1, 2)", [], True),
        ("G", "E", ["A", "B", "D", "F", "G"], True),
        ("It is B. 5", "B", ["4", "5"], False),
        ("\\boxed{9^{9^{9^9}}}", "5", [], False),
        ("", "5", [], False),
    ],
)
def test_math_v_s_rule_in_its_corners(
    response: str, answer: str, options: list[str], right: bool
) -> None:
    assert official_mathv.verdict(problem(answer, options), response).correct is right


# ---- MathVista ----


@pytest.mark.parametrize(
    ("response", "answer", "extras", "right"),
    [
        ("51.045", "51.04", {"answer_type": "float", "precision": "2.0"}, False),
        ("51.045", "51.05", {"answer_type": "float", "precision": "2.0"}, True),
        ("so \\boxed{12.7}", "12", {"answer_type": "integer"}, True),
        ('The answer is "14".', "14", {"answer_type": "integer"}, True),
        ("many", "14", {"answer_type": "integer"}, False),
        ("nan", "14", {"answer_type": "integer"}, False),
        ("[1, 2]", "[1, 2]", {"answer_type": "list"}, True),
    ],
)
def test_mathvista_s_numbers(response: str, answer: str, extras: Any, right: bool) -> None:
    assert official_mathvista.verdict(problem(answer, **extras), response).correct is right


@pytest.mark.parametrize(
    "response", ["(B)", "B", "five", "it is (b) five", "\\boxed{fife}", "fivee"]
)
def test_mathvista_takes_the_nearest_option(response: str) -> None:
    asked = problem("five", ["one", "five", "eleven"], question_type="multi_choice")
    assert official_mathvista.verdict(asked, response).correct


def test_edit_distances_by_hand() -> None:
    pairs = [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2)]
    assert [official_mathvista.distance(a, b) for a, b, _ in pairs] == [d for _, _, d in pairs]


def test_our_own_rounding_takes_halves_up_as_people_do() -> None:
    assert not verify_rounded(gold_response("51.045"), "51.04", 2).correct
    assert verify_rounded(gold_response("51.045"), "51.05", 2).correct
    assert verify_rounded(gold_response("-0.25"), "-0.3", 1).correct


# ---- HallusionBench ----


@pytest.mark.parametrize(
    ("response", "answer", "reason"),
    [
        ("Yes, it is.", "yes", "correct"), ("No.", "yes", "wrong"), ('"Yes"', "yes", "correct"),
        ("Yes and no", "yes", "no_answer"), ("I know nothing", "no", "no_answer"),
        ("<think>no</think> Yes", "yes", "no_answer"),
    ],
)  # fmt: skip
def test_yes_or_no_anywhere(response: str, answer: str, reason: str) -> None:
    assert hallusion_bench.by_words(response, answer, None).reason == reason


def hallusion_rows(folder: Path) -> None:
    row = {
        "category": "VS", "subcategory": "chart", "set_id": "0", "figure_id": "0",
        "question_id": "0", "question": "Is it so? Why?", "gt_answer": "1", "image": None,
    }  # fmt: skip
    (folder / "non_image.jsonl").write_text(json.dumps(row))
    picture = {"path": "a.png"}
    from PIL import Image

    Image.new("RGB", (8, 8)).save(folder / "a.png")
    (folder / "image.jsonl").write_text(json.dumps({**row, "figure_id": "1", "image": picture}))


def test_rows_without_a_picture_count_under_the_official_rule(tmp_path: Path) -> None:
    hallusion_rows(tmp_path)
    ours = environments.make("hallusion_bench", data=str(tmp_path))
    official = environments.make("hallusion_bench", data=str(tmp_path), scoring="official")
    assert [len(p.images) for p in ours.problems] == [1]
    assert [len(p.images) for p in official.problems] == [1, 0]
    assert official.rules.metrics is not None
    assert official.rules.metrics(official.problems, [1, 0]) == {
        "aAcc": 0.5,
        "fAcc": 0.5,
        "qAcc": 0.0,
    }


# ---- as an option ----


def test_the_official_rule_is_chosen_by_an_option_and_stands_on_the_card() -> None:
    env = environments.make("mathvision", limit=6, scoring="official")
    assert env.rules.extraction == official_mathv.EXTRACTION
    graded = env.grade([0], [f"The answer is {env.problems[0].answer}"])
    assert graded[0].verdict.correct
    assert not environments.make("mathvision", limit=6).grade([0], ["5"])[0].verdict.correct
    with pytest.raises(UserError, match="no option 'scoring'"):
        environments.make("mmk12", scoring="official")


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("\\boxed{7}", "correct"), ("It is \\boxed{7}.", "correct"), ("7", "no_answer"),
        ("<think>so</think>\\boxed{7}", "correct"), ("<think>\\boxed{7}", "bad_format"),
        ("\\boxed{7}</think>", "no_answer"),
    ],
)  # fmt: skip
def test_a_response_without_a_think_block_is_read_where_that_is_asked_for(
    response: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps({"problem": "How many?", "answer": "7"}))
    env = environments.make("vision_r1", data=str(tmp_path), split="test", format="box")
    assert env.grade([0], [response])[0].verdict.reason == reason
    assert "where there is one" in env.rules.extraction
