"""The grader on whole responses: the format, which box counts, text that means harm, floods.

Which values are the same is in test_answers.py, options and letters in test_choices.py.
"""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mssr_rl.grading.verify import Verdict, gold_response, verify

BAD_FORMAT = [
    "", "5", r"\boxed{5}", r"<think>a\boxed{5}", r"so <think>a</think>\boxed{5}",
    r"</think>\boxed{5}", r"\boxed{5}<think>a</think>", r"<thinking>a</thinking>\boxed{5}",
    r"<THINK>a</THINK>\boxed{5}", r"<think>a</think \boxed{5}", r"< think>a</think>\boxed{5}",
]  # fmt: skip
NO_ANSWER = [
    "<think>a</think>", "<think>a</think>5", r"<think>\boxed{5}</think>",
    r"<think>\boxed{5}</think>5", r"<think>a</think>\boxed{}", r"<think>a</think>\boxed{ }",
    r"<think>a</think>\boxed{5", r"<think>a</think>\boxed{5}\boxed{", r"<think>a</think>\boxed 5",
    r"<think>a</think>\boxed{5}\boxed{}", r"<think>a</think>\boxed{\text{ }}",
    r"<think>a</think>\boxed{5\}", r"<think>a</think>\boxed{$~$}",
]  # fmt: skip
BOXES = [
    (r"<think>a</think>\boxed{4}, no: \boxed{5}", "correct"),
    (r"<think>a</think>\boxed{5}, no: \boxed{4}", "wrong"),
    (r"<think>\boxed{4}</think>\boxed{5}", "correct"),
    (r"<think>\boxed{5}</think>\boxed{4}", "wrong"),
    (r"<think>a</think>\boxed{\boxed{5}}", "correct"),
    (r"<think>a</think>\boxed{4 or \boxed{5}}", "wrong"),
    (r"<think>a</think>\boxed{\boxed{4} \boxed{5}}", "wrong"),
    (r"<think>a</think>\boxed{ \boxed{5}", "correct"),
    (r"<think>a</think>\\boxed{5}", "correct"),
    (r"<think>a</think>\boxed{{5}}} and so on", "correct"),
    (" \n\t<think>a</think>\n\n**Answer**: $\\boxed{5}$.", "correct"),
    (r"<think></think>\boxed{5}", "correct"),
    (r"<think>a<think>b</think>c</think>\boxed{5}", "correct"),
]
HOSTILE = [
    "__import__('os').system('touch marker')", "eval(compile('open(\"marker\",\"w\")','','exec'))",
    "().__class__.__bases__[0].__subclasses__()", r"\input{/etc/passwd}", "${oc.env:HOME}",
    "{{7*7}}", "<script>alert(1)</script>", "; rm -rf marker", "$(touch marker)",
    r"\write18{touch marker}", "lambda: 5", "[x for x in (5,)]", "ｅｖａｌ('5')",
    "9**9**9**9", "9^{9^{9^{9}}}", "10^{10^{10}}", "999999999!", r"\sum_{i=1}^{10^{9}} i",
    "10^{99999999}", "1e999999999", r"\int_0^1 x dx", "0x5", "5_000", "\0", "\x1b[31m5\x1b[0m",
    "\ud800", "\u202e5", "5" + "\u0301" * 500, "the correct answer", "5 5 5 5", "[5, 6]", "{5, 6}",
    "please accept this answer", "x for any x", "True", "5; 6", "5|6", ".*", "%s", "*", "5?",
]  # fmt: skip
FLOODS = {
    "blanks": "<think></think>" + " " * 10**6,
    "blanks in the box": r"<think></think>\boxed{" + " " * 10**6 + "}",
    "open boxes": "<think></think>" + r"\boxed{" * 140_000,
    "nested boxes": "<think></think>" + r"\boxed{" * 140_000 + "}" * 140_000,
    "boxes in a row": "<think></think>" + r"\boxed{6}" * 110_000,
    "braces": r"<think></think>\boxed{" + "{}" * 500_000 + "}",
    "near-miss tags": "<think>" + "</think " * 120_000,
    "think tags": "<think>" * 140_000,
    "digits": r"<think></think>\boxed{" + "7" * 10**6 + "}",
}
UNITS_OF_FLOODS = [
    "(", "[", "{", "}", r"\frac", r"\frac{", "-", "1,", "1/", "^", "x+", "1 ", r"\{", "$", "$ ",
    r"\text{", "=", "(1,", "A. ", "or ", r"\,", r"^{\circ", "10^{9}", "0.", "'", "1", "+ ", "1+",
    "~", "\\", r"\!", "only ", ",...", "^'", "选", "the ", r"\color{", r"{\over ", "square ", "x=",
]  # fmt: skip


def boxed(answer: str) -> str:
    return f"<think>some thought</think>The answer is \\boxed{{{answer}}}."


@pytest.mark.parametrize("response", BAD_FORMAT)
def test_without_a_closed_think_block_at_the_start_there_is_no_format(response: str) -> None:
    assert verify(response, "5") == Verdict("bad_format", None)


@pytest.mark.parametrize("response", NO_ANSWER)
def test_without_a_filled_and_closed_last_box_there_is_no_answer(response: str) -> None:
    assert verify(response, "5") == Verdict("no_answer", None)


@pytest.mark.parametrize(("response", "reason"), BOXES)
def test_the_last_outermost_box_after_the_block_decides(response: str, reason: str) -> None:
    assert verify(response, "5").reason == reason


@pytest.mark.parametrize("answer", HOSTILE)
def test_hostile_text_neither_pays_nor_runs(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for gold in ("5", r"\frac{1}{2}", "x+1", "(1, 2)", "yes", "B"):
        assert verify(boxed(answer), gold).reason in ("wrong", "timeout", "no_answer")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flood", FLOODS)
def test_a_megabyte_is_graded_within_a_second(flood: str) -> None:
    started = time.process_time()
    assert not verify(FLOODS[flood], "5", ["5", "6"]).correct
    assert time.process_time() - started < 1


@pytest.mark.parametrize("unit", UNITS_OF_FLOODS)
def test_a_long_answer_is_graded_at_once(unit: str) -> None:
    started = time.process_time()
    for answer in ((unit * 4000)[:4000], "1" + (unit * 4000)[:4000], "A. " + unit * 200):
        for gold, choices in (("5 cm", None), ("A", None), ("B", ["5 cm", "x", "1+2"])):
            assert not verify(boxed(answer), gold, choices).correct or answer[:2] in ("A.", "(A")
    assert time.process_time() - started < 0.5


def test_an_answer_over_the_limit_is_a_timeout_and_is_cut() -> None:
    verdict = verify(boxed("7" * 5000), "7" * 5000)
    assert verdict.reason == "timeout"
    assert verdict.extracted == "7" * 4096


def test_a_power_too_large_to_expand_is_a_timeout() -> None:
    assert verify(boxed("10^{99999999}"), "5").reason == "timeout"


@pytest.mark.slow
@given(st.text(max_size=60), st.text(max_size=20), st.lists(st.text(max_size=8), max_size=4))
@settings(max_examples=100, deadline=None)
def test_no_text_whatever_raises(response: str, gold: str, choices: list[str]) -> None:
    for text in (response, "<think></think>" + response, boxed(response)):
        assert verify(text, gold, choices or None).reason in (
            "correct", "wrong", "no_answer", "bad_format", "timeout",
        )  # fmt: skip


def test_a_gold_answer_pays_itself_unless_its_braces_are_broken() -> None:
    assert verify(gold_response(r"\frac{1}{2}"), r"\frac{1}{2}").correct
    assert not verify(gold_response(r"\frac{1}{2"), r"\frac{1}{2").correct


def test_grading_loads_nothing_that_could_evaluate() -> None:
    script = "import sys, mssr_rl.grading.verify; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert {"sympy", "torch", "numpy"} & set(done.stdout.split()) == set()
