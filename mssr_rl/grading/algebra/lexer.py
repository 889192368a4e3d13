r"""From the text of an answer to tokens, dressing taken off, units kept apart.

    3\sqrt{5}\text{ cm}   ->   number 3, command sqrt, sign {, number 5, sign }        unit cm

`parser` reads the tokens. A run of letters is a function's name, a Greek letter, a word that
joins (or, and) or up to three letters that are multiplied; any longer word is `Unreadable`, so
that no sentence is ever taken for a product.
"""

import re
from typing import NamedTuple

from mssr_rl.grading.algebra.tree import Unreadable
from mssr_rl.grading.latex import LOOKALIKES
from mssr_rl.grading.quantities import OverLimit

MAX_TOKENS = 1024
MAX_DIGITS = 2048  # of one number

FUNCTIONS = frozenset({
    "sin", "cos", "tan", "sec", "csc", "cot", "arcsin", "arccos", "arctan", "asin", "acos",
    "atan", "sinh", "cosh", "tanh", "log", "ln", "lg", "exp", "sqrt", "abs",
})  # fmt: skip
JOINTS = frozenset({"or", "and"})
_GREEK_ASCII = frozenset({"pi"})
_ENGLISH = frozenset({
    "an", "are", "as", "at", "but", "by", "do", "for", "if", "in", "is", "it", "me", "my",
    "no", "nor", "not", "of", "off", "on", "so", "the", "to", "up", "us", "we", "yes", "all",
    "any", "few", "one", "two", "six", "ten", "his", "her", "our", "out", "who", "why", "how",
    "can", "may",
})  # fmt: skip


class Token(NamedTuple):
    """`kind` is number, letter, command, word or sign; `spaced` says that a blank came before."""

    kind: str
    text: str
    spaced: bool = False


_GROUPS = r"[1-9][0-9]{0,2}(?:(?:\{,\}|\\,|\\!,\\!|,\\!|\u2009)[0-9]{3})+(?![0-9])"
_COMMA_GROUPS = r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9,])"
_REPEAT = (
    r"[0-9]*\.[0-9]*\\(?:overline|bar|dot)\s*(?:\{[0-9]+\}|[0-9])"
    r"|[0-9]*\.[0-9]*\([0-9]+\)"
    r"|[0-9]*\.[0-9]+(?:\.\.\.|\\ldots|\\dots|\u2026)"
)
_TAIL = r"(?:\.[0-9]*(?!\.))?(?:[eE][+-]?[0-9]+(?![0-9A-Za-z]))?"
_PATTERN = (
    r"(?P<space>(?:\s|~|\\[,;:> !]|\\q?quad(?![A-Za-z]))+)"
    rf"|(?P<repeat>{_REPEAT})"
    rf"|(?P<number>(?:{_GROUPS}|@[0-9]+){_TAIL}|\.[0-9]+(?:[eE][+-]?[0-9]+(?![0-9A-Za-z]))?)"
    r"|(?P<command>\\[A-Za-z]+|\\.)"
    r"|(?P<letters>[A-Za-z]+)"
    r"|(?P<sign>\*\*|<=|>=|!=|[-+*/^_=<>(){}\[\],;:|!%'°&])"
)
_OUTER = re.compile(_PATTERN.replace("@", f"{_COMMA_GROUPS}|"), re.DOTALL)  # 1,234 is one number
_INNER = re.compile(_PATTERN.replace("@", ""), re.DOTALL)  # (1,234) is a pair
_OPENS, _CLOSES = frozenset({"(", "[", "{set"}), frozenset({")", "]", "}set"})
_DROPPED = frozenset({
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr",
    "displaystyle", "textstyle", "limits", "nolimits", "(", ")", "[", "]", "$",
})  # fmt: skip
_DRESSING = frozenset({
    "text", "textbf", "textit", "textrm", "texttt", "textsf", "textnormal", "mathrm",
    "mathbf", "mathit", "mathsf", "mathtt", "operatorname", "mbox", "hbox", "boldsymbol",
    "bm", "rm", "bf", "boxed", "fbox", "underline",
})  # fmt: skip
_RENAMED = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "dbinom": "binom", "tbinom": "binom",
    "leq": "le", "leqslant": "le", "geq": "ge", "geqslant": "ge", "neq": "ne", "lt": "<",
    "gt": ">", "vee": "lor", "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "times": "*",
    "cdot": "*", "ast": "*", "div": "/", "varnothing": "emptyset", "degree": "circ",
    "land": "and", "wedge": "and", "lor": "or", "colon": ":", "to": "->", "lbrace": "{set",
    "rbrace": "}set", "{": "{set", "}": "}set", "%": "%", "_": "_", "lparen": "(", "rparen": ")",
    "lbrack": "[", "rbrack": "]",
}  # fmt: skip


def tokens(text: str) -> list[Token]:
    """The tokens of a text; `Unreadable` or `OverLimit` where there is none to make."""
    found: list[Token] = []
    plain = text.translate(LOOKALIKES).replace("$", " ")
    _read(plain, found, 0)
    return found


def _read(text: str, found: list[Token], level: int) -> None:
    if level > 8:
        raise OverLimit("dressing within dressing")
    position, depth, spaced = 0, level, False
    while position < len(text):
        m = (_OUTER if depth == 0 else _INNER).match(text, position)
        if m is None:
            raise Unreadable(f"{text[position]!r}")
        position = m.end()
        if m["space"] is not None:
            spaced = True
            continue
        token = m[0]
        name = token[1:] if m["command"] else ""
        if name in _DRESSING:
            inner, position = _braced(text, position)
            _undress(inner, found, (spaced, level + 1))
        elif name == "begin":
            inner, position = _braced(text, position)
            found.append(Token("begin", inner.strip("*")))
        elif name == "end":
            inner, position = _braced(text, position)
            found.append(Token("end", inner.strip("*")))
        elif name not in _DROPPED or not name:
            found += _tokens_of(m, spaced)
            depth += (found[-1].text in _OPENS) - (found[-1].text in _CLOSES)
        spaced = False
        if len(found) > MAX_TOKENS:
            raise OverLimit(f"more than {MAX_TOKENS} tokens")


def _undress(inner: str, found: list[Token], at: tuple[bool, int]) -> None:
    """The content of a macro that changes the look: in braces, unless it joins two answers."""
    spaced, level = at
    if inner.strip().lower() in JOINTS:
        found.append(Token("word", inner.strip().lower(), spaced))
    elif inner.strip():
        found.append(Token("sign", "{", spaced))
        _read(inner, found, level)
        found.append(Token("sign", "}"))


def _tokens_of(m: re.Match[str], spaced: bool) -> list[Token]:
    text = m[0]
    if m["command"]:
        name = _RENAMED.get(text[1:], text[1:])
        kind = "word" if name in JOINTS else "command" if name.isalpha() else "sign"
        return [Token(kind, name, spaced)]
    if m["letters"]:
        return _letters(text, spaced)
    kind = "repeat" if m["repeat"] else "number" if m["number"] else "sign"
    if kind != "sign" and len(text) > MAX_DIGITS:
        raise OverLimit(f"a number of {len(text)} digits")
    return [Token(kind, {"**": "^"}.get(text, text), spaced)]


def _letters(run: str, spaced: bool) -> list[Token]:
    low = run.lower()
    if low in JOINTS:
        return [Token("word", low, spaced)]
    if run in FUNCTIONS or run in _GREEK_ASCII:
        return [Token("command", run, spaced)]
    for name in ("sin", "cos", "tan", "ln"):
        if run.startswith(name) and len(run) == len(name) + 1:
            return [Token("command", name, spaced), Token("letter", run[-1])]
    if len(run) > 3 or low in _ENGLISH:
        raise Unreadable(run[:40])
    return [Token("letter", sign, spaced and not i) for i, sign in enumerate(run)]


def _braced(text: str, position: int) -> tuple[str, int]:
    """The content of the braces that open at `position`, blanks apart, and where they end."""
    start = len(text) - len(text[position:].lstrip())
    if text[start : start + 1] != "{":
        return "", position
    level = 0
    for i in range(start, len(text)):
        escaped = i > 0 and text[i - 1] == "\\"
        level += (text[i] == "{" and not escaped) - (text[i] == "}" and not escaped)
        if level == 0:
            return text[start + 1 : i], i + 1
    raise Unreadable("unbalanced braces")
