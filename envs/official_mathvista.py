"""MathVista's own scoring rule (lupantech/MathVista, evaluation/), as `env.scoring=official`.

The published code asks GPT-4 to take the answer out of a response, unless the response is nothing
but an option or a number, or says `The answer is "…".`; no model is asked here, the last box stands
in for it, then the text behind the think block. What follows is the published rule: a letter in
brackets or alone is that option, any other text the option with the smallest edit distance (which
pays for garbage now and then), integers are cut to whole numbers, floats rounded to the row's
precision, and the two texts must be equal.
"""

import re
from collections.abc import Sequence

from mssr_rl.grading.verify import Verdict, last_box, with_think_block
from mssr_rl.problem import Problem

EXTRACTION = "MathVista's quick rules, then the last box in place of GPT-4; nearest option"
LONGEST = 2000  # characters that are held against an option

_QUICK = re.compile(r'The answer is "(.*)"\.')
_LETTER = re.compile(r"\(([a-zA-Z])\)")


def verdict(problem: Problem, response: str) -> Verdict:
    """The official verdict on a response; `extracted` is what was taken from it."""
    said = extracted(problem, response)
    found = normalised(problem, said)
    right = found is not None and found == gold(problem)
    return Verdict("correct" if right else "wrong" if said else "no_answer", said or None)


def gold(problem: Problem) -> str:
    """The answer as the set stores it: an option's text, or a number in words."""
    return problem.extras.get("raw_answer", problem.answer)


def extracted(problem: Problem, response: str) -> str:
    """What stands for the answer in a response."""
    text = response.strip()
    if text in (problem.choices or ()) or _number(text) is not None:
        return text
    if quick := _QUICK.search(text):
        return quick[1]
    box = last_box(text)
    return (
        box.strip() if box is not None else with_think_block(text).rpartition("</think>")[2].strip()
    )


def normalised(problem: Problem, said: str) -> str | None:
    """The answer in the form of the golds; None if it has none."""
    kind = problem.extras.get("answer_type")
    if problem.choices:
        return _option(said, problem.choices)
    value = _number(said)
    if kind == "integer":
        return None if value is None else str(int(value))
    if kind == "float":
        places = int(float(problem.extras.get("precision", "0")))
        return None if value is None else str(round(value, places))
    return said


def _option(said: str, choices: Sequence[str]) -> str:
    named = _LETTER.search(said)
    letter = named[1].upper() if named else said
    place = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".find(letter) if len(letter) == 1 else -1
    if 0 <= place < len(choices):
        return choices[place]
    return min(choices, key=lambda option: distance(letter[:LONGEST], option))


def distance(a: str, b: str) -> int:
    """Levenshtein's: signs to put in, take out or exchange."""
    before = list(range(len(b) + 1))
    for i, sign in enumerate(a, 1):
        row = [i]
        for j, other in enumerate(b, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (sign != other)))
        before = row
    return before[-1]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None  # neither nan nor infinity
