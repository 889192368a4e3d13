"""Sums in words: right answers, and no sum of one split in another."""

import re

import pytest

from mssr_rl.envs import environments
from mssr_rl.envs.arithmetic import _drawn, _split_of
from mssr_rl.errors import UserError

SPLITS = ("train", "val", "test")


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
