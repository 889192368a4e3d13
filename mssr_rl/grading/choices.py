"""Find the option of a multiple-choice question that an answer names, by letter, value or both.

`judge` uses this module together with `answers`, which compares values. Accepted forms of a letter
are A, (A), A., A), the letter after the word Option, and the letter before or after the text of its
option. An answer with two letters names no option. A letter that the answer denies is not named.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from mssr_rl.grading.answers import Same, same_text
from mssr_rl.grading.latex import clean
from mssr_rl.grading.phrases import affirms, denies
from mssr_rl.grading.ratios import may_be_time, same_ratio

LETTERS = "ABCDEFGHIJ"  # without known options, only these are read as a gold letter


class Named(NamedTuple):
    """The letter that an answer names, and the text after the letter."""

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
_PERCENT_RANGE = re.compile(
    r"(?:(?:from |between )?([0-9.]+)%?(?: ?- ?| ?\\sim ?| to )([0-9.]+)%)"
    r"|between ([0-9.]+)%? and ([0-9.]+)%"
)


def gold_letter(answer: str) -> str | None:
    """Return the letter of a gold answer that is only a capital letter; else None."""
    m = _GOLD.fullmatch(clean(answer))
    return (m[1] or m[2]) if m else None


def gold_with_text(answer: str) -> Named | None:
    """Return the letter and the text of a gold answer such as "C. 12"; None for other forms.

    Such gold answers occur where the options are not listed.
    """
    m = _GOLD_WITH_TEXT.fullmatch(clean(answer))
    return Named(m[1] or m[2], m[3]) if m else None


def names_letter(text: str, letter: str) -> bool:
    """Return whether `text` names `letter`; the options are unknown.

    The text of an option may follow the letter.
    """
    named = _named(text)
    return named is not None and named.letter.upper() == letter and _is_text(named)


def _is_text(named: Named) -> bool:
    """Return whether the text after a letter can be the option's own text.

    It cannot if it has another letter, a hedge or a denial.
    """
    others = {other for other in _LONE_CAPITAL.findall(named.rest) if other != named.letter}
    hedged = _HEDGE.match(named.rest) or denies(named.rest)
    return not (others or hedged or f"({named.letter}" in named.rest)


def names_option(text: str, answer: str, choices: Sequence[str], same: Same) -> bool | None:
    """Return whether `text` and the gold `answer` name the same option.

    Returns None if the gold answer names no option.
    """
    options = _without_letters(choices)
    gold = _gold_index(answer, options, same)
    if gold is None:
        return None
    index = _index(text, options, same)
    return index is not None and (index == gold or same_text(options[index], options[gold]))


def gives_letter_and_text(text: str, gold: Named, same: Same) -> bool:
    """Return whether `text` gives the gold answer's letter, its text, or both."""
    named = _named(text)
    if named is None:
        return same(text, gold.rest)
    if named.letter.upper() != gold.letter:
        return False
    return not named.rest or affirms(named.rest) or same(named.rest, gold.rest)


def _gold_index(answer: str, options: Sequence[str], same: Same) -> int | None:
    """Return the index of the option that a gold answer names by letter, text or value, or None."""
    letter = gold_letter(answer)
    if letter and ord(letter) - ord("A") < len(options):
        return ord(letter) - ord("A")
    # All options are compared as text before any is compared by value: two may have the same value.
    for equal in (same_text, same):
        for i, option in enumerate(options):
            if equal(answer, option):
                return i
    named = gold_with_text(answer)
    return _of_letter(named.letter, len(options)) if named else None


def _index(text: str, options: Sequence[str], same: Same) -> int | None:
    """Return the index of the option that `text` names; None if it does not name exactly one."""
    named = _named(text)
    # A small letter alone may be the value of an option; a letter beyond the options may be the
    # text of one, such as R among P to T.
    if named and named.letter.isupper() and not named.rest:
        index = _of_letter(named.letter, len(options))
        return _of_value(named.letter, options, same) if index is None else index
    for read in (_of_value, _of_both, _of_both_turned):
        index = read(text, options, same)
        if index is not None:
            return index
    return None


def _of_letter(letter: str, count: int) -> int | None:
    index = ord(letter.upper()) - ord("A")
    return index if index < count else None


def _of_value(text: str, options: Sequence[str], same: Same) -> int | None:
    equal = [i for i, option in enumerate(options) if _same_option(text, option, same)]
    bare = _without_article(text)
    equal = equal or [i for i, o in enumerate(options) if same_text(bare, _without_article(o))]
    if not equal and not any(map(may_be_time, options)):
        equal = [i for i, o in enumerate(options) if same_ratio(text, o, same)]
    # If options with different texts have this value, the answer does not say which one it means.
    if not equal or any(not same_text(options[i], options[equal[0]]) for i in equal):
        return None
    return equal[0]


def _same_option(text: str, option: str, same: Same) -> bool:
    """Return whether two options have the same value or the same range of percentages.

    The ranges 10%-20% and 10% to 20% are the same.
    """
    one, other = (_PERCENT_RANGE.fullmatch(clean(t)) for t in (text, option))
    if one is None or other is None:
        return same(text, option)
    return (one[1] or one[3], one[2] or one[4]) == (other[1] or other[3], other[2] or other[4])


def _without_article(text: str) -> str:
    return _ARTICLE.sub("", clean(text))


def _of_both(text: str, options: Sequence[str], same: Same) -> int | None:
    """Return the index of the option that is named by its letter and then its text; or None.

    If the options are only letters, any text may follow.
    """
    named = _named(text)
    return named and _if_it_fits(named, options, same)


def _of_both_turned(text: str, options: Sequence[str], same: Same) -> int | None:
    """Return the index of the option that is named by its text and then its letter; or None."""
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
    return index if fits or same_ratio(named.rest, option, same) else None


def _are_their_letters(options: Sequence[str]) -> bool:
    """Return whether the options are only the letters A, B, C, because the picture shows them."""
    return all(clean(option) == chr(ord("A") + i) for i, option in enumerate(options))


def _bare(text: str) -> str:
    return clean(text).replace("**", "").strip()


def _named(text: str) -> Named | None:
    m = _NAMED.fullmatch(_bare(text))
    return Named(m[1] or m[2], m[3].strip()) if m else None


def _without_letters(choices: Sequence[str]) -> list[str]:
    """Return options such as `A. 5` or `(B) 6` without their letters.

    They are returned unchanged unless all of them have their letter.
    """
    named = [_named(choice) for choice in choices]
    own = [n and n.rest and n.letter.upper() == chr(ord("A") + i) for i, n in enumerate(named)]
    return [n.rest for n in named if n] if named and all(own) else list(choices)
