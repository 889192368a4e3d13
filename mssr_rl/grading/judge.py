"""Does the text in the box give the gold answer? By letter, by option or by value.

Pure, and the same in every process: what counts as equal value is the caller's `same`. `verify`
calls it with what can be read off; where that does not settle it, `helper` calls it with algebra.
"""

from collections.abc import Sequence

from mssr_rl.grading.answers import Same
from mssr_rl.grading.choices import LETTERS, gold_letter, names_letter, names_option


def decide(text: str, answer: str, choices: Sequence[str] | None, same: Same) -> bool:
    """Is `text` right? `choices` are the options if known."""
    if choices:
        named = names_option(text, answer, choices, same)
        if named is not None:
            return named
    letter = gold_letter(answer)
    if letter and letter in LETTERS and not choices:
        return names_letter(text, letter)
    return same(text, answer)
