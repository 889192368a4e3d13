"""text: model output is shown whatever it holds; figures are easy to read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.report.text import duration, excerpt, number, percent, points, take_apart


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\ud800", "⟨U+D800⟩"),
        ("a\x00b", "a⟨U+0000⟩b"),
        ("\u202egnp", "⟨U+202E⟩gnp"),
        ("\u2028", "⟨U+2028⟩"),
        ("line\n\tend", "line\n\tend"),
        ("7²⁄₃ π 角", "7²⁄₃ π 角"),
    ],
)
def test_what_cannot_be_seen_is_named(raw: str, shown: str) -> None:
    assert excerpt(raw, 100).text == shown


@given(st.text(st.characters(codec=None, categories=None), max_size=200), st.integers(1, 50))
def test_an_excerpt_fits_and_can_be_encoded(raw: str, limit: int) -> None:
    found = excerpt(raw, limit)
    assert len(found.text) <= limit
    assert 0 <= found.cut <= len(raw)
    found.text.encode()


def test_what_was_cut_is_counted() -> None:
    assert excerpt("x" * 1_000_000, 100).cut == 999_900


def test_reasoning_and_answer_come_apart() -> None:
    found = take_apart("<think> 3 and 4 </think>\nIt is \\boxed{7}.", 99)
    assert found.reasoning.text == "3 and 4"
    assert found.answer.text == "It is \\boxed{7}."


def test_an_unfinished_thought_is_no_answer() -> None:
    found = take_apart("<think>I see", 99)
    assert (found.reasoning.text, found.answer.text) == ("I see", "")


def test_a_response_without_reasoning_is_all_answer() -> None:
    found = take_apart("\\boxed{7}", 99)
    assert (found.reasoning.text, found.answer.text) == ("", "\\boxed{7}")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (30720, "30,720"),
        (1e-4, "0.0001"),
        (0.4785321, "0.4785"),
        (True, "yes"),
        ("mini", "mini"),
        (2.0, "2"),
        (float("inf"), "inf"),
        (123456.7, "123,457"),
    ],
)
def test_numbers_are_short(value: object, shown: str) -> None:
    assert number(value) == shown


def test_shares_and_changes_are_written_in_percent_and_points() -> None:
    assert percent(0.4785) == "47.9\u00a0%"
    assert percent(None) == "–"
    assert points(-0.031) == "−3.1"
    assert points(0.098) == "+9.8"


def test_seconds_become_minutes_and_hours() -> None:
    said = [duration(s).replace("\u00a0", " ") for s in (2.25, 42, 468, 7300)]
    assert said == ["2.2 s", "42 s", "7 min 48 s", "2 h 1 min"]
