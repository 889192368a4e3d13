"""Answers made to hang, crash, fool or take over a grader: none pays, runs or takes long."""

import ast
import time
from pathlib import Path

import pytest

from mssr_rl.grading import workers
from mssr_rl.grading.verify import verify

ROOT = Path(__file__).parents[2]
GOLDS = [
    "5", r"\frac12", "x^2+1", r"\sqrt{2}", r"\{1,2\}", "(1,2)", "yes", "B", "[0,1)", "y=2x",
    r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
    r"\{" + ",".join(f"x^{{{i}}}" for i in range(24)) + r"\}",
]  # fmt: skip
BOMBS = [
    "9**9**9**9", "9^{9^{9^{9}}}", "(9!)!", "((9!)!)!", "10^{10^{10}}", "999999999!",
    r"\binom{1000000}{500000}", r"\sum_{i=1}^{10^{9}} i", r"\prod_{k=1}^{10^9} k",
    r"\int_0^{1} e^{x^2} dx", r"\lim_{x\to0}\frac{\sin x}{x}", "(x+1)^{100000}", "x^{4000}",
    "(x+y+z+w)^{4000}", "2^{x^{y^{z}}}", "e^{e^{e^{x}}}", r"\pi^{\pi^{\pi^{\pi}}}",
    r"\sqrt[99999999]{2}", "1e4096", "1e-4096", "10^{99999999}", "1e999999999", "x!+10^{-4900}",
    r"\left(\frac{1}{3}\right)^{100000}", r"\det\begin{pmatrix}1&2\\3&4\end{pmatrix}",
]  # fmt: skip
DEEP = [
    r"\sqrt{" * 200 + "2" + "}" * 200, "(" * 1300 + "6" + ")" * 1300, "[" * 1300 + "]" * 1300,
    r"\frac{1}{" * 300 + "2" + "}" * 300, "{" * 2000 + "6" + "}" * 2000, "x^" * 1000 + "x",
    r"\left(" * 300 + "6" + r"\right)" * 300, r"\sqrt" * 800 + "2", "-" * 3999 + "5",
    "6" + "!" * 3000, "|" * 1000 + "6" + "|" * 1000, r"\text{" * 300 + "6" + "}" * 300,
    "1/" * 1500 + "3", r"\sin" * 600 + "x", r"\{" * 900 + r"\}" * 900, r"\pm" * 900 + "6",
    r"\cup".join(["[0,1]"] * 200), "x=1 or " * 300 + "x=3", r"\begin{matrix}" * 250,
    "+".join(f"x^{{{i}}}" for i in range(300)), "*".join(["(x+1)"] * 250),
    "0." + "12" * 900 + "...",
    r"\{" + ",".join(f"\\sqrt{{{i}}}" for i in range(40)) + r"\}", ",".join(["1"] * 1900),
]  # fmt: skip
CODE = [
    "__import__('os').system('touch marker')", "().__class__.__bases__[0].__subclasses__()",
    "lambda: 5", "exec('x=5')", "open('marker','w')", "[5 for _ in (1,)][0]", "ｅｖａｌ('5')",
    r"\input{/etc/passwd}", r"\write18{touch marker}", r"\def\x{\x\x}\x", r"\newcommand{\a}{5}\a",
    "{{7*7}}", "${oc.env:HOME}", "$(touch marker)", "<script>5</script>", "\0", "\x1b[31m5",
    "\ud800", "\u202e5", "5\u200b", "٥", "５", "𝟓", "5_000", "0x5", "True", "None", "nan", "inf",
]  # fmt: skip
WHOLE = [
    r"What is 2+3? <think>a</think>\boxed{5}",  # the prompt first
    r"<think>a</think>", r"<think>a \boxed{5}</think> The answer is 5.",
    r"<think>a</think> <think>\boxed{5}</think>", r"<think>a</think>\boxed{5}</think>",
    r"<think>a</think>\boxed{5}<think>b</think>", r"<think>a</think>\boxed{5}, or \boxed{6}",
    r"<think>a</think>\boxed{5}\boxed{}", r"<think>a</think>\boxed{5", r"<think>\boxed{5}",
    r"<think>a</think>Question: 2+2? \boxed{4}", r"<think>a</think>\boxed{\boxed{5} \boxed{6}}",
    r"<think>a</think>\fbox{5}", r"<think>a</think>$5$", "<answer>5</answer>",
    r"<think>a</think>\boxed{the correct answer}", r"<think>a</think>\boxed{5 is what you want, 6}",
]  # fmt: skip


def graded_in_time(response: str, gold: str) -> str:
    """The reason; once more if it took a second, for a busy machine may stall any process."""
    for _ in range(3):
        started = time.monotonic()
        reason = verify(response, gold).reason
        if time.monotonic() - started < 1:
            return reason
    pytest.fail(f"over a second three times: {response[:80]!r}")


@pytest.fixture(scope="module", autouse=True)
def ready() -> None:
    workers.warm()


@pytest.mark.parametrize("answer", BOMBS + DEEP + CODE, ids=lambda text: ascii(text[:24]))
def test_no_bomb_and_no_payload_pays_hangs_or_runs(
    answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reasons = {gold: graded_in_time(f"<think></think>\\boxed{{{answer}}}", gold) for gold in GOLDS}
    assert set(reasons.values()) <= {"wrong", "timeout", "no_answer"}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("response", WHOLE)
def test_no_trick_with_the_format_pays(response: str) -> None:
    assert verify(response, "5").reason in ("bad_format", "no_answer", "wrong")


@pytest.mark.parametrize("unit", ["(", "{", r"\frac{", r"\boxed{", "x+", "1,", "<think>", " ", "}"])
def test_a_megabyte_after_or_in_the_box_is_graded_in_time(unit: str) -> None:
    flood = (unit * 10**6)[: 10**6]
    for response in (f"<think></think>{flood}", f"<think></think>\\boxed{{{flood}}}", flood):
        assert graded_in_time(response, "5") != "correct"


def calls(source: str) -> set[str]:
    """What a source calls: plain names, and attributes with their dot."""
    called = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return {f.id if isinstance(f, ast.Name) else f".{getattr(f, 'attr', '')}" for f in called}


def test_grading_holds_no_call_that_could_run_text() -> None:
    runs = {"eval", "exec", "compile", "__import__", "sympify", "parse_expr", "parse_latex"}
    runs |= {".sympify", ".parse_expr", ".parse_latex"}
    assert calls("sympy.sympify(text); eval('5')") & runs == {".sympify", "eval"}
    for path in (ROOT / "mssr_rl" / "grading").rglob("*.py"):
        assert calls(path.read_text(encoding="utf-8")) & runs == set()
