"""Does the text in the box give the gold answer? By letter, by option or by value.

Pure, and the same in every process: what counts as equal value is the caller's `same`. `verify`
calls it with what can be read off; where that does not settle it, `helper` calls it with algebra.
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
    """Is `text` right? `choices` are the options if known. Prose around a value may be left out."""
    if _gives(text, answer, choices, same):
        return True
    value = without_prose(text)
    return value is not None and _gives(value, answer, choices, same)


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
