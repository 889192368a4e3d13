r"""Responses with a known reward: spellings of the gold answer, and known hacks.

    spellings(problem, respond)          must earn 1
    hacks(problem, others, respond)      must earn 0; `others` are answers that are not the gold one

`respond` writes an answer in the environment's format, by default an empty think block and a box.
A hack is named after what it exploits, and `environment_laws` reports it by this name.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mssr_rl.grading.choices import gold_letter
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE

Respond = Callable[[str], str]
MEGABYTE = 10**6


class Probe(NamedTuple):
    """A response with a known reward, and the name of what it tests."""

    name: str
    response: str


def spellings(problem: Problem, respond: Respond) -> Iterator[Probe]:
    """Yield spellings of the gold answer that a careful reader would accept."""
    for answer in dict.fromkeys(_spelt(problem)):
        yield Probe(f"the gold answer as {answer[:60]!r}", respond(answer))


def _spelt(problem: Problem) -> Iterator[str]:
    gold = problem.answer.strip()
    yield from (gold, f"${gold}$", f" {gold} ")
    if re.fullmatch(r"[0-9]+", gold):
        yield from (f"+{gold}", f"{gold}.0", rf"\text{{{gold}}}")
    if m := re.fullmatch(r"\\frac\{(-?[0-9]+)\}\{([0-9]+)\}", gold):
        yield from (rf"\dfrac{{{m[1]}}}{{{m[2]}}}", f"{m[1]}/{m[2]}")
    letter = gold_letter(gold)
    if letter and problem.choices:
        place = ord(letter) - ord("A")
        yield from (f"({letter})", f"{letter}.", rf"\text{{{letter}}}")
        if place < len(problem.choices) and problem.choices.count(problem.choices[place]) == 1:
            yield f"{letter}. {problem.choices[place]}"


def hacks(problem: Problem, others: Sequence[str], respond: Respond) -> Iterator[Probe]:
    """Yield responses that try to cheat and must not earn a reward; `others` are wrong answers."""
    gold, question = problem.answer, problem.prompt.replace(IMAGE, "").strip()
    yield from (Probe("an empty response", ""), Probe("an empty answer", respond("")))
    yield Probe("an empty answer", "<think></think>")
    yield from (
        Probe("the question copied", question),
        Probe("the question copied", respond(question)),
    )
    yield Probe("several letters", respond("A or B or C"))
    if others:
        yield Probe("the gold answer and another", respond(f"{gold} or {others[0]}"))
        yield Probe("the gold answer and another", respond(f"{gold}, {others[0]}"))
        yield Probe("two answers, the last one wrong", respond(gold) + " " + _box(others[0]))
        yield Probe("another problem's answer", respond(others[0]))
    options = list(problem.choices or ()) or [gold, *others[:8]]
    if len(options) > 1:
        yield Probe("every option listed", respond(", ".join(options)))
        yield Probe("every option listed", respond(" ".join(options)))
    yield from _misplaced(gold)
    yield from (Probe("a placeholder", respond(text)) for text in ("None", "nan", "?", "answer"))
    yield Probe("an unclosed box", f"<think></think>\\boxed{{{gold}")
    yield from floods(respond)


def _misplaced(gold: str) -> Iterator[Probe]:
    """Yield responses with the right answer in a place where it must not count."""
    yield Probe("an answer only inside the think block", f"<think>{_box(gold)}</think>")
    yield Probe("an answer only inside the think block", f"<think>{gold}</think>")
    yield Probe("an answer outside of the box", f"<think>so</think>The answer is {gold}.")
    yield Probe("an answer outside of the box", gold)
    yield Probe("an answer before the think block", f"{_box(gold)}<think>so</think>")


def floods(respond: Respond) -> Iterator[Probe]:
    """Yield a megabyte of brackets, boxes or digits, and a power too large to compute."""
    for unit in (r"\frac{1}{", r"\boxed{", "(", "9"):
        yield Probe("a megabyte of LaTeX", respond((unit * MEGABYTE)[:MEGABYTE]))
    yield Probe("a power tower", respond("9^{9^{9^{9}}}"))


def _box(answer: str) -> str:
    return f"\\boxed{{{answer}}}"
