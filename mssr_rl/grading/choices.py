"""Multiple choice: which option does an answer name, by its letter, its value or both?

Used by `judge` next to `answers`, which compares values. Letters count in their usual dressings:
A, (A), A., A), after the word Option, with the option's text behind. Anything that names two
letters names none.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from mssr_rl.grading.answers import Same, same_text
from mssr_rl.grading.latex import clean

LETTERS = "ABCDEFGHIJ"  # golds without known options are read as a choice only among these


class Named(NamedTuple):
    """A letter and what stands behind it."""

    letter: str
    rest: str


_NAMED = re.compile(
    r"(?:(?:option|choice|answer)[ :]*)?(?:\( ?([a-z]) ?\)|([a-z]) ?(?:[.):]|$)) ?[.:]?(.*)",
    re.IGNORECASE | re.DOTALL,
)
_GOLD = re.compile(r"\( ?([A-Z]) ?\)|([A-Z]) ?[.):]?")
_HEDGE = re.compile(r"\W*(?:or|and|nor|not|but|maybe)\b", re.IGNORECASE)
_LONE_CAPITAL = re.compile(r"(?<![A-Za-z0-9'])[A-J](?![A-Za-z0-9'])")


def gold_letter(answer: str) -> str | None:
    """The letter, if a gold answer is nothing but a capital letter, dressed or not."""
    m = _GOLD.fullmatch(clean(answer))
    return (m[1] or m[2]) if m else None


def names_letter(text: str, letter: str) -> bool:
    """Does `text` name `letter` where the options are not known? Their text may follow it."""
    named = _named(text)
    if named is None or named.letter.upper() != letter:
        return False
    others = {other for other in _LONE_CAPITAL.findall(named.rest) if other != letter}
    return not (others or _HEDGE.match(named.rest) or "(" + letter in named.rest)


def names_option(text: str, answer: str, choices: Sequence[str], same: Same) -> bool | None:
    """Does `text` name the option that `answer` names? None if `answer` names no option."""
    options = _without_letters(choices)
    gold = _gold_index(answer, options, same)
    if gold is None:
        return None
    index = _index(text, options, same)
    return index is not None and (index == gold or same_text(options[index], options[gold]))


def _gold_index(answer: str, options: Sequence[str], same: Same) -> int | None:
    """A capital letter within range is a letter; otherwise the option with that text or value."""
    letter = gold_letter(answer)
    if letter and ord(letter) - ord("A") < len(options):
        return ord(letter) - ord("A")
    for equal in (same_text, same):
        for i, option in enumerate(options):
            if equal(answer, option):
                return i
    return None


def _index(text: str, options: Sequence[str], same: Same) -> int | None:
    """The one option that `text` names; None if it names none, several or contradicts itself."""
    named = _named(text)
    if named and named.letter.isupper() and not named.rest:
        return _of_letter(named.letter, len(options))
    by_value = _of_value(text, options, same)
    if by_value is not None or named is None:
        return by_value
    index = _of_letter(named.letter, len(options))
    if index is None or (named.rest and not same(named.rest, options[index])):
        return None
    return index


def _of_letter(letter: str, count: int) -> int | None:
    index = ord(letter.upper()) - ord("A")
    return index if index < count else None


def _of_value(text: str, options: Sequence[str], same: Same) -> int | None:
    found = [i for i, option in enumerate(options) if same(text, option)]
    if not found or any(not same_text(options[i], options[found[0]]) for i in found):
        return None
    return found[0]


def _named(text: str) -> Named | None:
    m = _NAMED.fullmatch(clean(text).replace("**", "").strip())
    return Named(m[1] or m[2], m[3].strip()) if m else None


def _without_letters(choices: Sequence[str]) -> list[str]:
    """Options as `A. 5`, `(B) 6` lose their own letter, if all of them carry it."""
    named = [_named(choice) for choice in choices]
    own = [n and n.rest and n.letter == chr(ord("A") + i) for i, n in enumerate(named)]
    return [n.rest for n in named if n] if named and all(own) else list(choices)
