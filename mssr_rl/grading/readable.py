"""Find gold answers that the grader cannot read: only a response with the same text gets a reward.

`check env=` and the data passport count and list such gold answers; `grade` warns about them.
Nothing is evaluated, so no gold answer takes long.
"""

from collections.abc import Sequence

from mssr_rl.grading.algebra.reading import read_claim
from mssr_rl.grading.algebra.tree import Unreadable
from mssr_rl.grading.answers import MAX_CHARS, is_plain_value, same_text
from mssr_rl.grading.choices import gold_letter, gold_with_text
from mssr_rl.grading.latex import clean
from mssr_rl.grading.quantities import OverLimit

MAX_WORDS = 4  # of a short text that a response can repeat: isosceles triangle, North, yes


def parseable(gold: str, choices: Sequence[str] | None = None) -> bool:
    """Return whether the grader can read `gold`: an option, a value, or a few plain words.

    If it cannot, only a response with the same text is right. Such a gold answer is broken, a
    sentence, or in a notation that the grader does not support. `choices` are the options, if
    known.
    """
    if len(gold) > MAX_CHARS or not clean(gold):
        return False
    if gold_letter(gold) or (choices and any(same_text(gold, option) for option in choices)):
        return True
    if with_text := gold_with_text(gold):
        gold = with_text.rest
    return _is_short_text(gold) or _is_value(gold)


def _is_short_text(gold: str) -> bool:
    words = clean(gold).split()
    return len(words) <= MAX_WORDS and all(word.strip(".,!?'-").isalpha() for word in words)


def _is_value(gold: str) -> bool:
    try:
        if is_plain_value(gold):
            return True
        read_claim(gold)
    except (Unreadable, OverLimit, RecursionError):
        return False
    return True
