"""Takes the dressing off an answer: delimiters, text macros, blanks, spare braces, look-alikes.

`clean` is what every comparison in `answers`, `quantities`, `linear` and `choices` starts from.
It never evaluates anything and runs in time linear in the text.
"""

import re

THIN = "\u2009"  # what \, becomes: it may part groups of three digits, a plain blank may not

LOOKALIKES = str.maketrans(
    {
        "\u2212": "-",  # minus sign
        "\u2013": "-",  # en dash
        "\u00a0": " ",
        "\u202f": THIN,
        "\u00ba": "°",  # masculine ordinal, often typed for degrees
        "\u02da": "°",  # ring above
        "\u00d7": r"\times ",
        "\u00b7": r"\cdot ",
        "\u22c5": r"\cdot ",
        "\u03c0": r"\pi ",
        "\u221e": r"\infty ",
        "\u2264": r"\le ",
        "\u2265": r"\ge ",
        "\u2260": r"\ne ",
        "\u00b1": r"\pm ",
        "\u00b2": "^{2}",
        "\u00b3": "^{3}",
        "\u00bc": r"\frac{1}{4}",
        "\u00bd": r"\frac{1}{2}",
        "\u00be": r"\frac{3}{4}",
        "\u00f7": r"\div ",
        "\u2044": "/",
        "\u221a": r"\sqrt ",
        "\u2205": r"\emptyset ",
        "\u222a": r"\cup ",
        "\u2208": r"\in ",
        "\u2220": r"\angle ",
        "\u2213": r"\mp ",
        **{sign: f"^{{{n}}}" for n, sign in enumerate("\u2074\u2075\u2076\u2077\u2078\u2079", 4)},
        "\uff0c": ",",
        "\uff08": "(",
        "\uff09": ")",
    }
)
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}$]|[^\\{}$]+|\\", re.DOTALL)
_DRESSING = frozenset(
    "\\" + name
    for family in (
        ("text", "textbf", "textit", "textrm", "texttt", "textsf", "textnormal", "emph"),
        ("mathrm", "mathbf", "mathit", "mathsf", "mathtt", "mathcal", "operatorname"),
        ("mbox", "hbox", "underline", "boxed", "fbox", "boldsymbol", "bm"),
    )
    for name in family
)
_DROPPED = frozenset(
    "\\" + name
    for family in (
        ("left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr"),
        ("displaystyle", "textstyle", "limits", "!", "(", ")", "[", "]"),
    )
    for name in family
)
_RENAMED = {
    r"\dfrac": r"\frac",
    r"\tfrac": r"\frac",
    r"\cfrac": r"\frac",
    r"\leq": r"\le",
    r"\geq": r"\ge",
    r"\neq": r"\ne",
    r"\mid": "|",
    r"\lt": "<",
    r"\gt": ">",
    r"\%": "%",
    r"\$": "$",
    r"\degree": "°",
    r"\,": THIN,
    r"\;": " ",
    r"\:": " ",
    r"\>": " ",
    r"\ ": " ",
    r"\quad": " ",
    r"\qquad": " ",
}
_ARGUMENTS = {r"\frac": 2, r"\binom": 2, r"\sqrt": 1}  # may be given without braces: \frac12
_BARE_SCRIPT = re.compile(r"([\^_])\s*([+-]?[0-9]+|[A-Za-z])")
_DEGREE = re.compile(r"\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_PLAIN = re.compile(r"[A-Za-z0-9 .,:+/()=-]*")


def clean(text: str) -> str:
    """`text` without what changes its look but not its value."""
    if _PLAIN.fullmatch(text):  # nothing to take off: most answers of a run
        return _squeeze(text)
    text = text.translate(LOOKALIKES).replace("~", " ").strip()
    if len(text) > 4 and text.startswith("**") and text.endswith("**"):
        text = text[2:-2]
    text = "".join(_Unwrapper(text).run())
    text = _BARE_SCRIPT.sub(r"\1{\2}", _DEGREE.sub("°", text))
    return _squeeze(text)


class _Unwrapper:
    r"""Drops dressing macros with their braces and braces that are no macro's argument;
    puts braces where a fraction or root has its arguments without: \frac12.
    """

    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)
        self.math_mode = (text.count("$") - text.count(r"\$")) % 2 == 0  # else a $ is money
        self.out: list[str] = []
        self.open: list[tuple[bool, int]] = []  # for each brace: is it kept; wanted after it
        self.argument = False  # would a brace here be an argument?
        self.wanted = 0  # arguments that a fraction or root still waits for

    def run(self) -> list[str]:
        for token in self.tokens:
            if token == "{":
                self._open()
            elif token == "}":
                self._close()
            elif token in _DRESSING:
                self.argument, self.wanted = False, 0
                if self.out and self.out[-1][-1:].isdecimal():
                    self.out.append(" ")  # 5\mathrm{m} is 5 m, a number and its unit
            elif not (token in _DROPPED or (token == "$" and self.math_mode)):
                self._put(_RENAMED.get(token, token))
        return self.out

    def _open(self) -> None:
        keep = self.argument or self.wanted > 0
        self.open.append((keep, max(0, self.wanted - 1)))
        self.out.append("{" if keep else "")
        self.argument, self.wanted = False, 0

    def _close(self) -> None:
        keep, self.wanted = self.open.pop() if self.open else (True, 0)
        self.out.append("}" if keep else "")
        self.argument = keep

    def _put(self, token: str) -> None:
        if self.wanted and token.strip():
            token = token.lstrip()
        while self.wanted and token[:1].isalnum():
            self.out.append(f"{{{token[0]}}}")
            token, self.wanted = token[1:].lstrip(), self.wanted - 1
        self.out.append(token)
        if token.strip():
            macro = len(token) > 1 and token[0] == "\\" and token[1].isalpha()
            self.argument = macro or token.rstrip()[-1] in "^_]"
            self.wanted = _ARGUMENTS.get(token, 0)


def _squeeze(text: str) -> str:
    """One blank between words, thin spaces only between digits, no full stop at the end."""
    if THIN in text:
        text = re.sub(rf"(?<![0-9]){THIN}|{THIN}(?![0-9])", " ", text)
    text = " ".join(text.replace(THIN, "\x00").split()).replace("\x00", THIN)
    return text[:-1].rstrip() if len(text) > 1 and text.endswith(".") else text
