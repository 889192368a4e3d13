"""Random responses by the thousand: nothing raises, takes a second, leaves processes, or grows.

Four sources in turn: bytes, tokens of LaTeX in any order, golden answers cut and glued, and whole
responses with tags and boxes broken. A law holds for all of them: what pays for a gold answer must
not pay for the gold answer plus one.
"""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mssr_rl.grading import workers
from mssr_rl.grading.verify import verify

LINES = (Path(__file__).parent / "golden" / "answers.jsonl").read_text(encoding="utf-8")
GOLD = [json.loads(line) for line in LINES.splitlines()]
ANSWERS = [answer for row in GOLD for answer in row["pays"] + row["does_not"]]
GOLDS = [row["gold"] for row in GOLD]
PIECES = [
    r"\frac", r"\sqrt", r"\sqrt[3]", r"\text{", r"\boxed{", r"\%", r"^\circ", r"\{", r"\}", "{",
    "}", "(", ")", "[", "]", ",", ".", "/", "^", "_", "$", "=", "<", r"\le", "+", "-", r"\pm",
    "!", "|", ":", "*", r"\cdot", r"\sin", r"\log", r"\ln", r"\pi", "e", "i", r"\infty",
    r"\cup", r"\begin{pmatrix}", r"\end{pmatrix}", "&", "\\\\", r"\overline", r"\binom",
    r"\text{ or }", "x", r"\begin{cases}", r"\end{cases}", r"\sum_{k=1}^{n}",
    r"\prod_{i=1}^{4}", r"\pmod{7}", r"\bmod", r"\choose", r"\over", r"\color{red}", r"\large",
    r"\approx", r"\equiv", r"\mid", r"\ldots", ";", r"\mathbf{i}", r"\hat{j}", r"\langle",
    r"\rangle", r"\setminus", r"\cap", r"\ne", r"\mathbb{R}", r"\angle",
    r"\operatorname{arcsin}", r"\tanh", r"\max", r"\gcd", r"\text{ if }", r"\text{ cm}", "厘米",
    "答案是", "^{-1}", "^T", "_n", "_{k}", "C_{5}^{2}", r"\infty", "k", "n", "or", "and", "=",
    r"+\cdots+", r",k\in\mathbb{Z}", "|x|<", r"\{x\mid ", "P(", "3 h ",
    "=", r"\!", "USD", "y", "A", "cm", "0", "1", "2", "9", "99999", "10^{", "\x00", "\ud800",
    "٣", "−", " ", "...",
]  # fmt: skip
TAGS = ["<think>", "</think>", "\\boxed{", "}", "{", "\n", "x", "<think>", "</think>\\boxed{5}"]
Source = Callable[[random.Random], str]


def some_bytes(draw: random.Random) -> str:
    return draw.randbytes(draw.randrange(60)).decode("latin-1")


def some_markup(draw: random.Random) -> str:
    return "".join(draw.choices(PIECES, k=draw.randrange(1, 24)))


def some_splice(draw: random.Random) -> str:
    one, other = draw.choice(ANSWERS), draw.choice(ANSWERS)
    cut = one[: draw.randrange(len(one) + 1)] + other[draw.randrange(len(other) + 1) :]
    return cut * draw.choice([1, 1, 1, 1, 2, 40])


def boxed(answer: str) -> str:
    return f"<think>so</think>\\boxed{{{answer}}}"


def some_response(draw: random.Random) -> str:
    tags = draw.choices([*TAGS, draw.choice(ANSWERS)], k=draw.randrange(1, 12))
    return draw.choice(["", "<think>a</think>"]) + "".join(tags)


SOURCES: list[Source] = [some_bytes, some_markup, some_splice, some_response]


def fuzz(count: int, seed: int) -> float:
    """Grade `count` random responses; the longest time one took."""
    draw, longest = random.Random(seed), 0.0
    for i in range(count):
        source = SOURCES[i % len(SOURCES)]
        text = source(draw)
        response = text if source is some_response else boxed(text)
        longest = max(longest, seconds(response, draw.choice(GOLDS)))
    return longest


def seconds(response: str, gold: str) -> float:
    """How long it took; the best of three if that is long, for a busy machine may stall."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        assert verify(response, gold).reason != "error", response
        best = min(best, time.perf_counter() - started)
        if best < 0.9:
            break
    return best


def test_a_thousand_random_responses() -> None:
    workers.warm()
    assert fuzz(1000, seed=1) < 1


@pytest.mark.slow
def test_twenty_thousand_random_responses() -> None:
    process = psutil.Process()
    others = set(process.children(recursive=True))  # other tests' browsers
    workers.warm()
    fuzz(2000, seed=2)
    before = process.memory_info().rss
    assert fuzz(20_000, seed=3) < 1
    assert process.memory_info().rss - before < 60 * 2**20
    assert len(set(process.children(recursive=True)) - others) <= 2 * workers.MOST


@pytest.mark.parametrize("seed", range(3))
def test_no_random_answer_pays_for_two_different_numbers(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(60):
        text = some_markup(draw)
        paid = [n for n in range(4) if verify(boxed(text), str(n)).correct]
        assert len(paid) <= 1, text
