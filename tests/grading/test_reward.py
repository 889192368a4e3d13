"""The reward is the verdict as a number, in parts that are weighed."""

from typing import get_args

import pytest

from mssr_rl.errors import UserError
from mssr_rl.grading.reward import accuracy, parse, well_formed
from mssr_rl.grading.verify import Reason, Verdict, verify

RIGHT, WRONG = Verdict("correct", "5"), Verdict("wrong", "6")


def test_only_a_correct_verdict_pays() -> None:
    paid = {reason: accuracy(Verdict(reason, "5")) for reason in get_args(Reason)}
    assert paid.pop("correct") == 1.0
    assert set(paid.values()) == {0.0}


def test_format_pays_where_there_is_something_to_read() -> None:
    def paid(response: str) -> float:
        return well_formed(verify(response, "5"))

    assert paid("<think>a</think>\\boxed{6}") == paid("<think>a</think>\\boxed{5}") == 1
    assert well_formed(Verdict("timeout", "5")) == well_formed(Verdict("error", "5")) == 0
    assert paid("\\boxed{5}") == paid("<think>a</think>5") == paid("") == 0


def test_parts_are_weighed_and_added() -> None:
    reward = parse("0.8*accuracy + 0.1*format + 0.1*length:10")
    assert reward(RIGHT, "x" * 10) == pytest.approx(1.0)
    assert reward(RIGHT, "x" * 15) == pytest.approx(0.95)
    assert reward(RIGHT, "x" * 99) == pytest.approx(0.9)
    assert reward(WRONG, "x") == pytest.approx(0.1)  # short and wrong is wrong
    assert reward(Verdict("bad_format", None), "") == 0


def test_a_part_alone_is_that_part() -> None:
    assert parse("accuracy") is accuracy


def test_right_answers_pay_more_than_half_and_others_less() -> None:
    reward = parse("0.51*accuracy+0.49*format")
    assert reward(RIGHT, "") > 0.5 > reward(WRONG, "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("acuracy", "there is no part acuracy; there are accuracy, format and length:CHARACTERS"),
        ("length", "there is no part length;"),
        ("format:3", "there is no part format:3;"),
        ("accuracy+format", "the weights add up to 2; make it at most 1"),
        ("0.5*accuracy", "accuracy weighs half or less"),
        ("0.4*accuracy+0.6*format", "accuracy weighs half or less"),
        ("length:400", "accuracy weighs half or less"),
        ("accuracy-format", "'accuracy-format' is not a part"),
        ("", "'' is not a part"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, says: str) -> None:
    with pytest.raises(UserError) as error:
        parse(text)
    assert says in str(error.value)
