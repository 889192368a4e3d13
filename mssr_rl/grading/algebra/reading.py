r"""Parse a whole answer: a value, a relation, or a chain of equal sides.

    24 \cdot 24 = 576           ->  the chain 24 * 24, 576, which `compare` checks and shortens
    5\sqrt2\text{ cm} \approx 7.07   ->  5 sqrt 2, its unit, and a decimal that must fit
    \text{Area} = 5             ->  a name and its value

Only the structure is parsed here. Nothing is evaluated, so this is safe outside of a worker.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from mssr_rl.grading.algebra.parser import parse
from mssr_rl.grading.algebra.tree import Node, Unreadable
from mssr_rl.grading.algebra.unit import split_unit
from mssr_rl.grading.latex import clean, tidy
from mssr_rl.grading.phrases import HEDGES

MAX_LINKS = 8  # of a chain
_SIGN = re.compile(r"(?<![<>!:\\])=(?!=)|\\approx(?![A-Za-z])")
_STEP = re.compile(r"(?<=\S)\s*\\Rightarrow\s*(?=[-0-9.]|\\(?:frac|sqrt|pi)(?![A-Za-z]))")
_BRACKETS = re.compile(r"\\[{}|]|\\[A-Za-z]+|\\.|[()\[\]{}]", re.DOTALL)
_NO_CHAIN = re.compile(r"\\(?:le|ge|ne|in|equiv|pm|mp|cup|cap|[pb]mod|lor|land)(?![A-Za-z])")
_WITH_ROWS = re.compile(r"\\begin(?!\{vmatrix\})(?![A-Za-z])")
_REMAINDER = re.compile(r"^[^=]*\\bmod(?=[^=]*=)")  # 17 mod 5 = 2 is a chain, x = 2 mod 5 is none
_JOINED = re.compile(r"[;<>]|,(?![0-9]{3}(?![0-9]))")
_JOINT = re.compile(r"(?<![A-Za-z\\])(?:or|and)(?![A-Za-z])")
_NAMES = (
    re.compile(r"(?=.*[A-Za-z])[A-Za-z \\{}()_^'|,.+-]*"),  # words
    re.compile(r"\\(?:lim|int|max|min|sup|inf|det|deg|dim)(?![A-Za-z]).*"),
    re.compile(r"[A-Za-z]'{0,2} ?\([^()]*(?:\([^()]*\)[^()]*)*\)"),  # P(X = 2)
)
_COMMANDS = re.compile(r"\\[A-Za-z]+")


class Part(NamedTuple):
    """One side of a chain of equal sides."""

    node: Node
    unit: str


class EqualSides(NamedTuple):
    """The sides that an answer states to be equal, and decimals stated to be near the last side."""

    parts: tuple[Part, ...]
    rounded: tuple[Part, ...]
    text: str  # without the unit, for a comparison of words


@lru_cache(maxsize=1024)
def read_claim(text: str) -> EqualSides:
    """Return the parsed answer: its equal sides, and its approximate decimals.

    Raises:
        Unreadable: the parser does not support this notation.
        OverLimit: it is longer or deeper than the limits allow.
    """
    text = tidy(text)
    if "=" not in text:
        text = _STEP.sub("=", text)  # 48/2 => 24
    links, signs = _links(text)
    if len(links) < 2 or len(links) > MAX_LINKS:
        body, unit = split_unit(text)
        return EqualSides((Part(parse(body), unit),), (), body.strip(" .$"))
    parts = [_part(link, first=not i) for i, link in enumerate(links) if link or i]
    # The sides before the first sign of approximation are exact.
    exact = 1 + next((i for i, sign in enumerate(signs) if sign != "="), len(signs))
    exact -= not links[0]  # "\approx 15.15" says nothing exact
    return EqualSides(tuple(parts[:exact]), tuple(parts[exact:]), text)


def _links(text: str) -> tuple[list[str], list[str]]:
    """Return the texts between equality signs outside of brackets, and these signs.

    A text that is not such a chain is returned alone.
    """
    cuts = list(_SIGN.finditer(text))
    if not cuts:
        return [text], []
    outside = _outside(text)
    rest = _REMAINDER.sub("", outside)
    lists = _JOINED.search(outside) or _JOINT.search(text) or _WITH_ROWS.search(text)
    if lists or _NO_CHAIN.search(rest):
        return [text], []
    cuts = [m for m in cuts if outside[m.start()] != " "]
    starts, ends = [0, *(m.end() for m in cuts)], [*(m.start() for m in cuts), len(text)]
    links = [text[a:b].strip(" $") for a, b in zip(starts, ends, strict=True)]
    return links, [m[0] for m in cuts]


def _outside(text: str) -> str:
    """Return the text with blanks in place of everything inside brackets."""
    level, pieces, last = 0, [], 0
    for m in _BRACKETS.finditer(text):
        opens, closes = m[0] in ("(", "[", "{", r"\{"), m[0] in (")", "]", "}", r"\}")
        if not (opens or closes):
            continue
        piece = text[last : m.end()]
        pieces.append(piece if level == 0 else " " * len(piece))
        level, last = max(0, level + opens - closes), m.end()
    piece = text[last:]
    return "".join(pieces) + (piece if level == 0 else " " * len(piece))


def _part(text: str, *, first: bool) -> Part:
    """Return one parsed side. The left side may be words, which then are a name."""
    body, unit = split_unit(text)
    try:
        return Part(parse(body), unit)
    except Unreadable:
        if first and _is_name(text):
            return Part(Node("name", text), "")
        raise


def _is_name(text: str) -> bool:
    """Return whether a text is a name: words without a number (Area, length of AB), or lim f(x)."""
    plain = clean(text)
    words = re.findall(r"[a-z]+", _COMMANDS.sub(" ", plain.lower()))
    if not HEDGES.isdisjoint(words) or "≠" in plain:
        return False
    return any(form.fullmatch(plain) for form in _NAMES)
