"""MathVista's own scoring rule (lupantech/MathVista, evaluation/), as `env.scoring=official`.

The published code lets GPT-4 extract the answer, unless the response is only an option or a number,
or contains `The answer is "…".`. No model is called here. Instead, the last box is the answer, or
the text after the think block if there is no box. The rest is the published rule:

* a letter in brackets or alone is that option;
* any other text is the option with the smallest edit distance, so a wrong text may be right;
* integers are cut to whole numbers, and floats are rounded to the row's precision;
* the two texts must then be equal.
"""

import re
from collections.abc import Sequence

from mssr_rl.grading.verify import Verdict, last_box, with_think_block
from mssr_rl.problem import Problem

EXTRACTION = "MathVista's quick rules, then the last box in place of GPT-4; nearest option"
LONGEST = 2000  # characters of an answer that are compared with an option

_QUICK = re.compile(r'The answer is "(.*)"\.')
_LETTER = re.compile(r"\(([a-zA-Z])\)")


def verdict(problem: Problem, response: str) -> Verdict:
    """Return the official verdict on a response; `extracted` is the answer that was compared."""
    answer = extracted(problem, response)
    in_gold_form = normalised(problem, answer)
    right = in_gold_form is not None and in_gold_form == gold(problem)
    return Verdict("correct" if right else "wrong" if answer else "no_answer", answer or None)


def gold(problem: Problem) -> str:
    """Return the gold answer as the data set stores it: an option's text, or a number as text."""
    return problem.extras.get("raw_answer", problem.answer)


def extracted(problem: Problem, response: str) -> str:
    """Return the answer in a response: an option, a number, the last box, or the final text."""
    text = response.strip()
    if text in (problem.choices or ()) or _number(text) is not None:
        return text
    if quick := _QUICK.search(text):
        return quick[1]
    box = last_box(text)
    return (
        box.strip() if box is not None else with_think_block(text).rpartition("</think>")[2].strip()
    )


def normalised(problem: Problem, answer: str) -> str | None:
    """Return the answer in the form of the gold answers; None if a number is needed but missing."""
    kind = problem.extras.get("answer_type")
    if problem.choices:
        return _option(answer, problem.choices)
    value = _number(answer)
    if kind == "integer":
        return None if value is None else str(int(value))
    if kind == "float":
        places = int(float(problem.extras.get("precision", "0")))
        return None if value is None else str(round(value, places))
    return answer


def _option(answer: str, choices: Sequence[str]) -> str:
    named = _LETTER.search(answer)
    letter = named[1].upper() if named else answer
    place = "ABCDEFGHIJKLMNOPQRSTUVWXYZ".find(letter) if len(letter) == 1 else -1
    if 0 <= place < len(choices):
        return choices[place]
    return min(choices, key=lambda option: distance(letter[:LONGEST], option))


def distance(a: str, b: str) -> int:
    """Return the Levenshtein distance: the fewest characters to insert, delete or replace."""
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
