"""Sums in words: right answers, and no sum of one split in another."""

import re

import pytest

from mssr_rl.envs import ProblemEnv, environments
from mssr_rl.envs.arithmetic import _drawn, _split_of
from mssr_rl.errors import UserError

SPLITS = ("train", "val", "test")


def made(split: str = "val", **options: object) -> ProblemEnv:
    return environments.make("arithmetic", split=split, instruction="none", **options)


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_written_as_a_sum_has_its_value_as_answer(split: str) -> None:
    problems = environments.make("arithmetic", split=split).problems
    plain = [p for p in problems if p.prompt.startswith("What is ")]
    assert len(plain) > len(problems) / 6
    for problem in plain:
        (sum_,) = re.findall(r"What is ([\d+×\- ]+)\?", problem.prompt)
        parts = re.findall(r"\d+|[+×-]", sum_)
        value = int(parts[0])
        for sign, number in zip(parts[1::2], map(int, parts[2::2]), strict=True):
            value = {"+": value + number, "-": value - number, "×": value * number}[sign]
        assert str(value) == problem.answer, problem.prompt


def test_told_problems_name_their_numbers_and_levels_take_turns() -> None:
    problems = environments.make("arithmetic", split="val", limit=40).problems
    assert [p.tags["level"] for p in problems[:8]] == ["1", "2", "3", "4"] * 2
    assert all(len(re.findall(r"\d+", p.prompt)) >= 2 for p in problems)


def test_no_numbers_of_one_split_are_in_another() -> None:
    import random

    draw = random.Random(0)
    sums = [_drawn(level, draw) for level in (1, 2, 3, 4) for _ in range(200)]
    turned = [s._replace(numbers=tuple(reversed(s.numbers))) for s in sums]
    assert [_split_of(s) for s in sums] == [_split_of(s) for s in turned]
    seen = {
        split: {
            (p.tags["family"], *sorted(re.findall(r"\d+", p.prompt)))
            for p in environments.make("arithmetic", split=split).problems
        }
        for split in SPLITS
    }
    assert not seen["train"] & (seen["val"] | seen["test"])
    assert not seen["val"] & seen["test"]


def test_a_right_answer_in_a_box_pays_and_another_split_is_refused() -> None:
    env = environments.make("arithmetic", split="test", limit=1, format="box")
    answer = env.problems[0].answer
    right, wrong = env.grade([0, 0], [rf"\boxed{{{answer}}}", r"\boxed{-1}"])
    assert right.verdict.correct
    assert not wrong.verdict.correct
    with pytest.raises(UserError, match="no split 'dev'"):
        environments.make("arithmetic", split="dev")


@pytest.mark.parametrize("form", ["think", "box", "number"])
def test_shots_are_solved_problems_of_train_that_pay_in_the_format(form: str) -> None:
    train, val = (made(split, shots=4, format=form) for split in ("train", "val"))
    assert train.problems[0].examples == val.problems[0].examples != ()
    first = made("train").problems[:4]
    assert [e.prompt for e in val.problems[0].examples] == [p.prompt for p in first]
    for problem, example in zip(first, val.problems[0].examples, strict=True):
        assert val.rules.verdict(problem, example.response).correct
        assert problem.extras["worked"] in example.response


def test_a_shown_problem_is_not_trained_on_and_what_is_shown_marks_the_data() -> None:
    plain, shown = made("train"), made("train", shots=4)
    assert [p.key for p in shown.problems] == [p.key for p in plain.problems[4:]]
    assert made().fingerprint() != made(shots=4).fingerprint() != made(shots=3).fingerprint()
    observation, _ = made(shots=1, format="number").reset(options={"index": 0})
    assert observation["prompt"].startswith(plain.problems[0].prompt + "\n")


def test_shots_that_leave_nothing_or_have_pictures_are_refused() -> None:
    with pytest.raises(UserError, match=r"env\.shots=4 leaves none of the 4 problems of train"):
        made("train", limit=4, shots=4)
    with pytest.raises(UserError, match=r"env\.shots=-1 must be 0 or more"):
        made(shots=-1)
    with pytest.raises(UserError, match=r"has a picture; leave env\.shots out"):
        environments.make("vision_r1", split="val", limit=2, shots=1)


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ("3 + 7 = 10", "correct"),
        ("10 apples.", "correct"),
        (r"so 3 + 7 = 11, \boxed{10}, of 12", "correct"),
        ("<think>3 + 7 = 11</think>10", "correct"),
        ("3 + 7 = 10, not 11", "wrong"),
        ("-10", "wrong"),
        ("ten", "no_answer"),
        ("", "no_answer"),
        ("<think>10", "bad_format"),
        (r"\boxed{} 10", "no_answer"),
    ],
)
def test_the_last_number_is_the_answer_where_no_box_is(response: str, reason: str) -> None:
    env = made(format="number")
    row = next(row for row, problem in enumerate(env.problems) if problem.answer == "10")
    assert env.grade([row], [response])[0].verdict.reason == reason


def test_levels_are_chosen_by_number() -> None:
    tags = [p.tags["level"] for p in made(levels=(1, 3), limit=4).problems]
    assert tags == ["1", "3", "1", "3"]
    with pytest.raises(UserError, match=r"env\.levels"):
        made(levels=(5,))
