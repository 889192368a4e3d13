"""Decide whether the text in the box gives the gold answer: by letter, by option or by value.

This module is pure, so the result is the same in every process. The parameter `same` decides
whether two values are equal. `verify` passes `read_off`; `helper` passes a comparison that can also
use algebra.
"""

from collections.abc import Sequence

from mssr_rl.grading.answers import Same
from mssr_rl.grading.choices import (
    LETTERS,
    gives_letter_and_text,
    gold_letter,
    gold_with_text,
    names_letter,
    names_option,
)
from mssr_rl.grading.phrases import without_prose
from mssr_rl.grading.ratios import same_ratio


def decide(text: str, answer: str, choices: Sequence[str] | None, same: Same) -> bool:
    """Return whether `text` gives the gold `answer`. `choices` are the options, if known.

    Words around a value are ignored: "The area is 5" gives 5.
    """
    if _gives(text, answer, choices, same):
        return True
    value, wanted = without_prose(text), None if choices else without_prose(answer)
    if value is None and wanted is None:
        return False
    pairs = [(value, answer), (text, wanted), (value, wanted)]
    return any(a and b and _gives(a, b, choices, same) for a, b in pairs)


def _gives(text: str, answer: str, choices: Sequence[str] | None, same: Same) -> bool:
    if choices:
        named = names_option(text, answer, choices, same)
        return same(text, answer) if named is None else named
    letter = gold_letter(answer)
    if letter and letter in LETTERS:
        return names_letter(text, letter)
    if with_text := gold_with_text(answer):
        return gives_letter_and_text(text, with_text, same)
    return same(text, answer) or same_ratio(text, answer, same)
