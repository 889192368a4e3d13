r"""Turn the text of an answer into tokens. LaTeX formatting is removed, and units are kept apart.

    3\sqrt{5}\text{ cm}   ->   number 3, command sqrt, sign {, number 5, sign }        unit cm

`parser` reads the tokens. A run of letters is a function's name, a Greek letter, a word that joins
(or, and), or a product of up to three letters. Any longer word raises Unreadable, so that a
sentence is never read as a product.
"""

import re
from typing import NamedTuple

from mssr_rl.grading.algebra.tree import Unreadable
from mssr_rl.grading.latex import DRESSING, FUNCTIONS, tidy
from mssr_rl.grading.phrases import SHORT_WORDS
from mssr_rl.grading.quantities import OverLimit

MAX_TOKENS = 1024
MAX_DIGITS = 2048  # of one number

JOINTS = frozenset({"or", "and"})
GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta",
    "vartheta", "iota", "kappa", "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "phi",
    "varphi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Sigma", "Phi",
    "Psi", "Omega", "ell",
})  # fmt: skip


class Token(NamedTuple):
    """One token. `spaced` tells whether a blank came before it.

    `kind` is number, repeat, letter, subscript, basis, command, word, condition, begin, end or
    sign.
    """

    kind: str
    text: str
    spaced: bool = False


_GROUPS = r"[1-9][0-9]{0,2}(?:(?:\{,\}|\\,|\\!,\\!|,\\!|\u2009)[0-9]{3})+(?![0-9])"
_COMMA_GROUPS = r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?![0-9,])"
_DOT = r"\\dot\s*(?:\{[0-9]\}|[0-9])"
_REPEAT = (
    rf"[0-9]*\.[0-9]*{_DOT}(?:[0-9]*{_DOT})?"
    r"|[0-9]*\.[0-9]*\\(?:overline|dot)\s*(?:\{[0-9]+\}|[0-9])"
    r"|[0-9]*\.[0-9]*\([0-9]+\)"
    r"|[0-9]*\.[0-9]+(?:\.\.\.|\\ldots|\u2026)"
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
_DROPPED = frozenset({"(", ")", "[", "]", "$"})
_RENAMED = {
    "times": "*", "cdot": "*", "ast": "*", "div": "/", "{": "{set", "}": "}set", "%": "%",
    "_": "_", "lparen": "(", "rparen": ")", "lbrack": "[", "rbrack": "]", "land": "and",
    "lor": "or", "to": "->", "|": "|",
}  # fmt: skip
# A bold or hatted i, j or k is a unit vector.
_BASIS = re.compile(
    r"\\(?:mathbf|boldsymbol|bm|hat|overrightarrow)\s*(?:\{\s*)?"
    r"(?:\\(?:mathbf|boldsymbol|bm|hat)\s*(?:\{\s*)?)?([ijk])(?![A-Za-z])(?:\s*\})*"
)
_SHORT_INDEX = re.compile(r"\s*(\\[A-Za-z]+|[0-9]+|[A-Za-z])")
_CONDITIONS = {"if": "if", "for": "if", "when": "if", "where": "if", "otherwise": "otherwise",
               "else": "otherwise", "elsewhere": "otherwise"}  # fmt: skip


def tokens(text: str) -> list[Token]:
    """Return the tokens of a text.

    Raises Unreadable or OverLimit if the text cannot be split into tokens.
    """
    row: list[Token] = []
    _read(tidy(text).replace("$", " "), row, 0)
    return row


def _read(text: str, row: list[Token], level: int) -> None:
    if level > 8:
        raise OverLimit("dressing within dressing")
    position, depth, spaced = 0, level, False
    while position < len(text):
        m = (_OUTER if depth == 0 else _INNER).match(text, position)
        if m is None:
            raise Unreadable(f"{text[position]!r}")
        if m["space"] is not None:
            position, spaced = m.end(), True
            continue
        before = len(row)
        position = _braced_token(text, m, row, (spaced, level)) or m.end()
        if position == m.end() and len(row) == before and m[0][1:] not in _DROPPED:
            row += _tokens_of(m, spaced)
            depth += (row[-1].text in _OPENS) - (row[-1].text in _CLOSES)
        spaced = False
        if len(row) > MAX_TOKENS:
            raise OverLimit(f"more than {MAX_TOKENS} tokens")


def _braced_token(
    text: str, m: re.Match[str], row: list[Token], at: tuple[bool, int]
) -> int | None:
    """Read a token with braces after it: formatting, an environment, a subscript, a unit vector."""
    name = m[0][1:] if m["command"] else ""
    if basis := m["command"] and _BASIS.match(text, m.start()):
        row.append(Token("basis", basis[1], at[0]))
        return basis.end()
    if name in DRESSING:
        inner, position = _braced(text, m.end())
        _undress(inner, row, at)
        return position
    if name in ("begin", "end"):
        inner, position = _braced(text, m.end())
        row.append(Token(name, inner.strip("*")))
        return position
    if m[0] == "_" and row and _takes_index(row[-1]):
        inner, position = _index(text, m.end())
        row.append(Token("subscript", inner))
        return position
    return None


def _takes_index(token: Token) -> bool:
    return token.kind == "letter" or (token.kind == "command" and token.text in GREEK)


def _index(text: str, position: int) -> tuple[str, int]:
    """Return a subscript: the text in braces, or the one character or macro in its place."""
    inner, end = _braced(text, position)
    if end > position:
        return inner, end
    m = _SHORT_INDEX.match(text, position)
    if m is None:
        raise Unreadable("a subscript without text")
    return m[1], m.end()


def _undress(inner: str, row: list[Token], at: tuple[bool, int]) -> None:
    """Read the content of a formatting macro: a joining word, a condition, or text in braces."""
    spaced, level = at
    word = inner.strip(" ,").lower()
    if word in JOINTS:
        row.append(Token("word", word, spaced))
    elif word in _CONDITIONS:
        row.append(Token("condition", _CONDITIONS[word], spaced))
    elif word == "mod":
        row.append(Token("command", "pmod", spaced))
    elif word:
        row.append(Token("sign", "{", spaced))
        _read(inner, row, level + 1)
        row.append(Token("sign", "}"))


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
    if low in _CONDITIONS:
        return [Token("condition", _CONDITIONS[low], spaced)]
    if run in _PLAIN_NAMES:
        return [Token("command", _PLAIN_NAMES[run], spaced)]
    for name in ("sin", "cos", "tan", "ln"):
        # sinx is the sine of x; in longer runs the argument would be a guess.
        if run.startswith(name) and len(run) == len(name) + 1:
            return [Token("command", name, spaced), Token("letter", run[-1])]
    longest = 4 if run.isupper() else 3  # a quadrilateral ABCD
    # AT can be a segment, at is a word.
    if len(run) > longest or (low in SHORT_WORDS and not run.isupper()):
        raise Unreadable(run[:40])
    return [Token("letter", sign, spaced and not i) for i, sign in enumerate(run)]


_PLAIN_NAMES = {name: name for name in (*FUNCTIONS, "pi")} | {"sqrt": "root", "mod": "pmod"}


def _braced(text: str, position: int) -> tuple[str, int]:
    """Return the content of the braces at `position`, without outer blanks, and where they end."""
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
