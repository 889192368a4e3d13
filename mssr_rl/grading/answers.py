r"""Compare two answers without algebra. `read_off` raises NeedsAlgebra if that is not enough.

    number 3.5 cm  ->  Quantity      (3, 4), [0, 5), \{1, 2\}, "3, 4"  ->  AnswerList
    the rest  ->  Words

`judge` and `choices` get a comparison as a parameter: `read_off`, or `read_off_or(algebra)` in a
grading process. Clock times and ratios (3:20) are words. They are compared as written, never as
fractions. Texts longer than MAX_CHARS raise OverLimit.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from mssr_rl.grading.latex import clean
from mssr_rl.grading.phrases import SHORT_WORDS
from mssr_rl.grading.quantities import OverLimit, Quantity, quantity, same_quantity

MAX_CHARS = 4096  # of one answer; this keeps integers below Python's own limit on digits
MAX_ITEMS = 64  # of one tuple, list or set
MAX_DEPTH = 4  # of tuples inside tuples


class AnswerList(NamedTuple):
    """Several answers in order.

    `brackets` is empty for a bare list, "{}" for a set, and "+" for 3 h 20 min.
    """

    brackets: str
    items: tuple["Value", ...]


class Words(NamedTuple):
    """Any other text, without extra blanks."""

    text: str


class NeedsAlgebra(Exception):
    """Raised if two answers cannot be compared without algebra."""


Value = Quantity | AnswerList | Words
Same = Callable[[str, str], bool]

_OPEN = {"(": ")(", "[": "][", "{": "}{"}
_AROUND_SIGNS = re.compile(r" ?([^\w ]) ?")
_SHORT_TEXT = re.compile(r"(?=.*[A-Za-z]{2})[A-Za-z][A-Za-z ,.'-]*")
_WORDS = re.compile(r"(?=.*[A-Za-z]{2})[A-Za-z ,.'?!\"-]+")
_CLOCK = re.compile(r"[0-9]+(?::[0-9]+)+")
_HALF_DAY = re.compile(r"([0-9]{1,2}):([0-9]{2}) ?([AaPp])\.?[Mm]\.?")
_MEASURE = re.compile(r"[0-9]+(?:\.[0-9]+)? ?[A-Za-z]+")
_MEASURES = re.compile(rf"{_MEASURE.pattern}(?:,? (?:and )?{_MEASURE.pattern})+")
_RANGE = re.compile(r"[0-9.]+-[0-9.]+")
_LETTERS_THAT_MULTIPLY = frozenset("abcxyz")


def read_off(said: str, gold: str) -> bool:
    """Return whether two texts state the same value, without algebra.

    Raises:
        NeedsAlgebra: this cannot be decided without algebra.
        OverLimit: they are too large to be compared.
    """
    one, other = _read(said), _read(gold)
    if _same(one, other):
        return True
    # A bare list may stand for a set, so such a pair is left to `algebra`.
    if _settled(one) and _settled(other) and not _list_and_set(one, other):
        return False
    if _is_range(one) and _is_range(other):
        return False  # 2-3 and 3-4 are scores or ranges, though both are -1
    raise NeedsAlgebra


def read_off_or(algebra: Same) -> Same:
    """Return a comparison that uses `read_off`, and `algebra` if that raises NeedsAlgebra."""

    def same(a: str, b: str) -> bool:
        try:
            return read_off(a, b)
        except NeedsAlgebra:
            return algebra(a, b)

    return same


def is_plain_value(text: str) -> bool:
    """Return whether a text is a number, a clock time or a list of plain values."""
    value = _read(text)
    if isinstance(value, Words):
        return bool(_CLOCK.fullmatch(value.text.removesuffix("am").removesuffix("pm")))
    return _settled(value)


def same_text(a: str, b: str) -> bool:
    """Return whether two texts are equal, apart from formatting and extra blanks.

    The case of short texts is ignored.
    """
    return _key(clean(a)) == _key(clean(b))


@lru_cache(maxsize=4096)
def _read(text: str) -> Value:
    if len(text) > MAX_CHARS:
        raise OverLimit(f"an answer of {len(text)} characters")
    return _parse(clean(text), MAX_DEPTH)


def _parse(text: str, depth: int) -> Value:
    """Return the parsed value of a text that `clean` has cleaned."""
    # Numbers first: 1,234 is one number, not a list of two.
    if as_quantity := quantity(text):
        return as_quantity
    if measures := _measures(text):
        return measures
    if depth and (group := _group(text, depth)):
        return group
    return Words(_key(text))


def _measures(text: str) -> AnswerList | None:
    """Return the parts of 3 h 20 min, or None."""
    if not _MEASURES.fullmatch(text):
        return None
    parts = [quantity(part) for part in _MEASURE.findall(text)]
    items = tuple(part for part in parts if part and part.unit)
    return AnswerList("+", items) if len(items) == len(parts) else None


def _same(a: Value, b: Value) -> bool:
    if isinstance(a, Quantity) and isinstance(b, Quantity):
        return same_quantity(a, b)
    if isinstance(a, AnswerList) and isinstance(b, AnswerList):
        return _same_group(a, b)
    return isinstance(a, Words) and a == b


def _settled(value: Value) -> bool:
    """Return whether a value can be compared without algebra.

    These are numbers, clock times, words, and lists of them.
    """
    if isinstance(value, AnswerList):
        return all(map(_settled, value.items))
    if isinstance(value, Words):
        word = value.text
        if _CLOCK.fullmatch(word):
            return True
        # A short first word may be a function or a product of letters, as in ln x or ab.
        multiplied = word == "pi" or _LETTERS_THAT_MULTIPLY.issuperset(word)
        return bool(_WORDS.fullmatch(word)) and not (multiplied or len(word.split()[0]) < 4)
    return isinstance(value, Quantity)


def _is_range(value: Value) -> bool:
    return isinstance(value, Words) and bool(_RANGE.fullmatch(value.text))


def _list_and_set(a: Value, b: Value) -> bool:
    if not (isinstance(a, AnswerList) and isinstance(b, AnswerList)):
        return False
    return {a.brackets, b.brackets} == {"", "{}"}


def same_brackets(said: str, gold: str) -> bool:
    """Return whether two points differ only in that one has no round brackets.

    The caller must rule out intervals: (0, 4) can be one, but (4, 0) and (1, 2, 3) cannot.
    """
    return {said, gold} == {"", "()"}


def _same_group(a: AnswerList, b: AnswerList) -> bool:
    pair = [item.value for item in b.items if isinstance(item, Quantity) and item.value is not None]
    point = len(b.items) != 2 or (len(pair) == 2 and pair[0] >= pair[1])
    if a.brackets != b.brackets and not (point and same_brackets(a.brackets, b.brackets)):
        return False
    # Several points may come in any order, numbers may not.
    points = not a.brackets and all(isinstance(x, AnswerList) for x in (*a.items, *b.items))
    if a.brackets != "{}" and not points:
        return len(a.items) == len(b.items) and all(map(_same, a.items, b.items))
    return all(any(_same(x, y) for y in b.items) for x in a.items) and all(
        any(_same(x, y) for x in a.items) for y in b.items
    )


def _group(text: str, depth: int) -> AnswerList | None:
    """Return a group in brackets, a set, or a bare list of two or more values, or None."""
    body, brackets = _inside(text.replace(r"\{", "{").replace(r"\}", "}"))
    parts = _split(body)
    if parts is None or (len(parts) < 2 and brackets != "{}"):
        return None
    items = tuple(_parse(part, depth - 1) for part in parts)
    if not brackets and any(isinstance(item, Words) for item in items):
        return None  # a sentence with a comma
    return AnswerList(brackets, items)


def _inside(text: str) -> tuple[str, str]:
    """Return the text inside brackets that surround all of it, and the pair of brackets.

    Without such brackets, the result is the text and an empty string.
    """
    if len(text) > 2 and text[0] in "([{" and text[-1] in ")]}":
        level = 0
        for i, sign in enumerate(text):
            level += (sign in "([{") - (sign in ")]}")
            if level == 0:
                return (text[1:-1], text[0] + text[-1]) if i == len(text) - 1 else (text, "")
    return text, ""


def _split(text: str) -> list[str] | None:
    """Return the parts between commas outside of brackets.

    Returns None if a part is empty or there are too many.
    """
    parts, level, start = [], 0, 0
    for i, sign in enumerate(text):
        level += (sign in "([{") - (sign in ")]}")
        if sign == "," and level == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    return parts if all(parts) and len(parts) <= MAX_ITEMS else None


def _key(text: str) -> str:
    """Return the form of a cleaned text in which texts are compared.

    It has no extra blanks, and words have no case. AB is a segment and ab a product, so two or
    three capitals keep their case, unless they are a word.
    """
    words = text.rstrip("!")
    if _SHORT_TEXT.fullmatch(words):
        letters = len(words) <= 3 and words.isupper() and words.casefold() not in SHORT_WORDS
        return words if letters else words.casefold()
    bare = _AROUND_SIGNS.sub(r"\1", text)
    return _time(m) if (m := _HALF_DAY.fullmatch(bare)) else bare


def _time(m: re.Match[str]) -> str:
    """Return a 12-hour time in 24-hour form: 8:34 pm as 20:34.

    Times before 1 pm keep am or pm.
    """
    hour, minute, half = int(m[1]), m[2], m[3].casefold()
    return f"{hour + 12}:{minute}" if half == "p" and hour < 12 else f"{hour}:{minute}{half}m"
