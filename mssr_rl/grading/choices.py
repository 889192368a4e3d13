"""Multiple choice: which option does an answer name, by its letter, its value or both?

Used by `judge` next to `answers`, which compares values. Letters count in their usual dressings:
A, (A), A., A), after the word Option, with the option's text behind or before. Anything that names
two letters names none, and a letter that is denied is not named.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from mssr_rl.grading.answers import Same, same_text
from mssr_rl.grading.latex import clean
from mssr_rl.grading.phrases import affirms, denies

LETTERS = "ABCDEFGHIJ"  # golds without known options are read as a choice only among these


class Named(NamedTuple):
    """A letter and what stands behind it."""

    letter: str
    rest: str


_ABOUT = (
    r"(?:(?:so |thus |hence |therefore )?(?:the )?(?:final |correct |right )?"
    r"(?:option|choice|answer)(?: is| choice is)?[ :]*)?"
    r"(?:(?:故|所以)?(?:正确)?(?:答案|选项|选择|应选|选)+[是为:]*\s*)?"
)
_NAMED = re.compile(
    _ABOUT + r"(?:\( ?([a-z]) ?\)|([a-z]) ?(?:[.):]|(?=选项|项|$))) ?[.:]?\s*(?:选项|项)?(.*)",
    re.IGNORECASE | re.DOTALL,
)
_NAMED_LAST = re.compile(
    r"(?P<rest>.*?\S)\s*(?:\\Rightarrow|\\to|[-=]>|[,;:])?\s*"
    r"(?:(?:option|choice|answer):? )?(?:\( ?(?P<a>[A-Z]) ?\)|(?<![A-Za-z\\])(?P<b>[A-Z])\.?)",
    re.DOTALL,
)
_GOLD = re.compile(r"\( ?([A-Z]) ?\)|([A-Z]) ?[.):]?")
_GOLD_WITH_TEXT = re.compile(
    r"(?:\( ?([A-J]) ?\)|([A-J]) ?[.):](?=[\s\\$\d(-]))\s*(\S.*)", re.DOTALL
)
# A capital that names another option; "A square" and "I think" are English.
_LONE_CAPITAL = re.compile(r"(?<![A-Za-z0-9'])(?:[B-HJ]|A(?! [a-z]{2}))(?![A-Za-z0-9'])")
_HEDGE = re.compile(r"\W*(?:or|and|nor|not|but|maybe)\b", re.IGNORECASE)
_ARTICLE = re.compile(r"^(?:an?|the) (?=[a-z]{2})", re.IGNORECASE)
_CLOCK = re.compile(r"[0-9]{1,2}:[0-5][0-9]")
_RATIO = re.compile(r"([^:]+):([^:]+)")
_PERCENT_RANGE = re.compile(r"([0-9.]+)%?(?: ?- ?| ?\\sim ?| to )([0-9.]+)%")


def gold_letter(answer: str) -> str | None:
    """The letter, if a gold answer is nothing but a capital letter, dressed or not."""
    m = _GOLD.fullmatch(clean(answer))
    return (m[1] or m[2]) if m else None


def gold_with_text(answer: str) -> Named | None:
    """The letter and the text of a gold answer such as C. 12, whose options are not listed."""
    m = _GOLD_WITH_TEXT.fullmatch(clean(answer))
    return Named(m[1] or m[2], m[3]) if m else None


def names_letter(text: str, letter: str) -> bool:
    """Does `text` name `letter` where the options are not known? Their text may follow it."""
    named = _named(text)
    return named is not None and named.letter.upper() == letter and _is_text(named)


def _is_text(named: Named) -> bool:
    """Can it be the option's own text, rather than a second letter or a word about the first?"""
    others = {other for other in _LONE_CAPITAL.findall(named.rest) if other != named.letter}
    hedged = _HEDGE.match(named.rest) or denies(named.rest)
    return not (others or hedged or f"({named.letter}" in named.rest)


def names_option(text: str, answer: str, choices: Sequence[str], same: Same) -> bool | None:
    """Does `text` name the option that `answer` names? None if `answer` names no option."""
    options = _without_letters(choices)
    gold = _gold_index(answer, options, same)
    if gold is None:
        return None
    index = _index(text, options, same)
    return index is not None and (index == gold or same_text(options[index], options[gold]))


def gives_letter_and_text(text: str, gold: Named, same: Same) -> bool:
    """Does `text` give a gold answer of letter and text: either alone, or both as they are?"""
    named = _named(text)
    if named is None:
        return same(text, gold.rest)
    if named.letter.upper() != gold.letter:
        return False
    return not named.rest or affirms(named.rest) or same(named.rest, gold.rest)


def _gold_index(answer: str, options: Sequence[str], same: Same) -> int | None:
    """A capital letter within range is a letter; otherwise the option with that text or value."""
    letter = gold_letter(answer)
    if letter and ord(letter) - ord("A") < len(options):
        return ord(letter) - ord("A")
    for equal in (same_text, same):
        for i, option in enumerate(options):
            if equal(answer, option):
                return i
    named = gold_with_text(answer)
    return _of_letter(named.letter, len(options)) if named else None


def _index(text: str, options: Sequence[str], same: Same) -> int | None:
    """The one option that `text` names; None if it names none, several or contradicts itself."""
    named = _named(text)
    if named and named.letter.isupper() and not named.rest:
        index = _of_letter(named.letter, len(options))
        return _of_value(named.letter, options, same) if index is None else index
    for read in (_of_value, _of_ratio, _of_both, _of_both_turned):
        index = read(text, options, same)
        if index is not None:
            return index
    return None


def _of_letter(letter: str, count: int) -> int | None:
    index = ord(letter.upper()) - ord("A")
    return index if index < count else None


def _of_value(text: str, options: Sequence[str], same: Same) -> int | None:
    found = [i for i, option in enumerate(options) if _same_option(text, option, same)]
    bare = _without_article(text)
    found = found or [i for i, o in enumerate(options) if same_text(bare, _without_article(o))]
    if not found or any(not same_text(options[i], options[found[0]]) for i in found):
        return None
    return found[0]


def _same_option(text: str, option: str, same: Same) -> bool:
    """The same value, or the same range of percentages: 10%-20%, 10% to 20%."""
    one, other = (_PERCENT_RANGE.fullmatch(clean(t)) for t in (text, option))
    return one.groups() == other.groups() if one and other else same(text, option)


def _without_article(text: str) -> str:
    return _ARTICLE.sub("", clean(text))


def _of_ratio(text: str, options: Sequence[str], same: Same) -> int | None:
    r"""1:4 and \frac14 name one option where the options are ratios."""
    ratios = [_RATIO.fullmatch(clean(option)) for option in options]
    timed = any(_CLOCK.fullmatch(clean(option)) for option in options)
    if _RATIO.search(clean(text)) or timed or not any(ratios):
        return None
    as_fractions = [rf"\frac{{{m[1]}}}{{{m[2]}}}" if m else r"\square" for m in ratios]
    return _of_value(text, as_fractions, same)


def _of_both(text: str, options: Sequence[str], same: Same) -> int | None:
    """The letter and then the option's own text; any text where the options are only letters."""
    named = _named(text)
    return named and _if_it_fits(named, options, same)


def _of_both_turned(text: str, options: Sequence[str], same: Same) -> int | None:
    """The option's text and then its letter."""
    m = _NAMED_LAST.fullmatch(_bare(text))
    return _if_it_fits(Named(m["a"] or m["b"], m["rest"]), options, same) if m else None


def _if_it_fits(named: Named, options: Sequence[str], same: Same) -> int | None:
    index = _of_letter(named.letter, len(options))
    if index is None or not named.rest or affirms(named.rest):
        return index
    if _are_their_letters(options):
        return index if _is_text(named) else None
    bare, option = _without_article(named.rest), options[index]
    fits = _same_option(named.rest, option, same) or same_text(bare, _without_article(option))
    return index if fits or _of_ratio(named.rest, options, same) == index else None


def _are_their_letters(options: Sequence[str]) -> bool:
    """Are the options drawn in the picture, and listed as A, B, C only?"""
    return all(clean(option) == chr(ord("A") + i) for i, option in enumerate(options))


def _bare(text: str) -> str:
    return clean(text).replace("**", "").strip()


def _named(text: str) -> Named | None:
    m = _NAMED.fullmatch(_bare(text))
    return Named(m[1] or m[2], m[3].strip()) if m else None


def _without_letters(choices: Sequence[str]) -> list[str]:
    """Options as `A. 5`, `(B) 6` or `a) 5` lose their own letter, if all of them carry it."""
    named = [_named(choice) for choice in choices]
    own = [n and n.rest and n.letter.upper() == chr(ord("A") + i) for i, n in enumerate(named)]
    return [n.rest for n in named if n] if named and all(own) else list(choices)
