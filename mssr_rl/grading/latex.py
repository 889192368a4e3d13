"""Remove formatting from an answer: delimiters, text macros, blanks, spare braces, look-alikes.

    raw text  --tidy-->  one spelling for each meaning  --clean-->  no formatting left

Both `clean` and the lexer of `algebra` start with `tidy`. `answers`, `quantities` and `choices`
use `clean`. A new spelling of a known meaning is one line in a table here. Nothing is
evaluated, and each pass takes time linear in the text.
"""

import re
from collections.abc import Callable
from functools import lru_cache

THIN = "\u2009"  # replaces \, : it may separate groups of three digits, a plain blank may not

# Wide letters and digits are not converted, so code that is written in them does not become code.
_KEPT_WIDE = frozenset({*range(15, 25), *range(32, 58), 59, *range(64, 90)})
LOOKALIKES = str.maketrans({
    "\u2212": "-", "\u2013": "-", "\u00a0": " ", "\u202f": THIN, "\u00ba": "°", "\u02da": "°",
    "\u00d7": r"\times ", "\u00b7": r"\cdot ", "\u22c5": r"\cdot ", "\u03c0": r"\pi ",
    "\u221e": r"\infty ", "\u2264": r"\le ", "\u2265": r"\ge ", "\u2260": r"\ne ",
    "\u00b1": r"\pm ", "\u00b2": "^{2}", "\u00b3": "^{3}", "\u00bc": r"\frac{1}{4}",
    "\u00bd": r"\frac{1}{2}", "\u00be": r"\frac{3}{4}", "\u00f7": r"\div ", "\u2044": "/",
    "\u2205": r"\emptyset ", "\u222a": r"\cup ", "\u2208": r"\in ", "\u2220": r"\angle ",
    "\u2213": r"\mp ", "\u2229": r"\cap ", "\u2209": r"\notin ", "\u2216": r"\setminus ",
    "\u2248": r"\approx ", "\u2243": r"\approx ", "\u2261": r"\equiv ", "\u221d": r"\propto ",
    "\u2211": r"\sum ", "\u220f": r"\prod ", "\u211d": r"\mathbb{R}", "\u2124": r"\mathbb{Z}",
    "\u2115": r"\mathbb{N}", "\u211a": r"\mathbb{Q}", "\u25b3": r"\triangle ", "\u2103": "°C",
    "\u2109": "°F", "\u2032": "'", "\u2019": "'", "\u2033": "''", "\u03b1": r"\alpha ",
    "\u03b2": r"\beta ", "\u03b8": r"\theta ", "\u03bb": r"\lambda ", "\u03c6": r"\phi ",
    "\u03c9": r"\omega ", "\u2234": " ", "\u2713": " ", "\u2714": " ", "\u21d2": r"\Rightarrow ",
    "\u2192": r"\to ", "\u27e8": r"\langle ", "\u27e9": r"\rangle ",
    **{sign: f"^{{{n}}}" for n, sign in enumerate("\u2074\u2075\u2076\u2077\u2078\u2079", 4)},
    **{chr(0xFF01 + i): chr(0x21 + i) for i in range(94) if i not in _KEPT_WIDE},
    "\u3001": ",", "\u3002": ".", "\uffe5": "¥",
})  # fmt: skip
FUNCTIONS = frozenset({
    "sin", "cos", "tan", "sec", "csc", "cot", "arcsin", "arccos", "arctan", "arccot", "arcsec",
    "arccsc", "asin", "acos", "atan", "sinh", "cosh", "tanh", "coth", "sech", "csch", "arcsinh",
    "arccosh", "arctanh", "log", "ln", "lg", "exp", "sqrt", "abs", "max", "min", "gcd", "lcm",
    "sgn", "sign", "det", "floor", "ceil", "cbrt",
})  # fmt: skip
_TEXT = "text|textbf|textit|textrm|texttt|textsf|textnormal|emph|mathrm|mathbf|mathit|mathsf"
DRESSING = frozenset((
    *_TEXT.split("|"), "mathtt", "mathcal", "operatorname", "mbox", "hbox", "underline", "boxed",
    "fbox", "boldsymbol", "bm", "mathop", "pmb", "uline", "mathbin", "ensuremath",
))  # fmt: skip
_DROPPED = frozenset("\\" + name for name in ("!", "(", ")", "[", "]"))
_STYLES = (
    "tiny scriptsize footnotesize small normalsize large Large LARGE huge Huge em bfseries "
    "itshape ttfamily rmfamily sffamily boldmath displaystyle textstyle scriptstyle limits "
    "nolimits left right middle big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr "
    "checkmark therefore because blacksquare qed hfill noindent strut"
)
_SAME = {
    "frac": "dfrac tfrac cfrac sfrac nicefrac", "binom": "dbinom tbinom", "le": "leq leqslant leqq",
    "ge": "geq geqslant geqq", "ne": "neq", "approx": "simeq approxeq thickapprox doteq",
    "ldots": "dots cdots dotsc dotsb dotso dotsm", "emptyset": "varnothing", "circ": "degree",
    "overrightarrow": "vec", "overline": "bar", "hat": "widehat", "to": "rightarrow longrightarrow",
    "Rightarrow": "implies Longrightarrow", "setminus": "backslash smallsetminus", "pmod": "mod",
    "lor": "vee", "land": "wedge", "triangle": "vartriangle bigtriangleup", "ln": "operatorname*ln",
    "infty": "infin", "mathbb": "Bbb", "overparen": "overarc wideparen",
}  # fmt: skip
_COMMANDS = {
    **dict.fromkeys(_STYLES.split(), " "),
    **{name: "\\" + one for one, names in _SAME.items() for name in names.split()},
    "lt": "<", "gt": ">", "R": r"\mathbb{R}", "lvert": "|", "rvert": "|", "vert": "|",
    "mid": "|", "colon": ":", "lbrace": r"\{", "rbrace": r"\}", "prime": "'", "textdegree": "°",
    "euro": "€", "pounds": "£", "yen": "¥", "imath": "i", "jmath": "j", "thinspace": r"\,",
}  # fmt: skip
_FAMILIES = {"bf": "mathbf", "rm": "mathrm", "it": "mathit", "tt": "mathtt", "sf": "mathsf"}
_IN_TEXT = rf"\\(?:{_TEXT}|mbox)\s*\{{"
# Each rule: a text that must occur for the rule to apply, a pattern, and its replacement.
_RULES: tuple[tuple[str, str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"\begin", (r"\\\{\s*\\begin\s*\{(array|aligned|matrix|split)\}(?:\s*\{[lcr|]*\})?(.*?)"
      r"\\end\s*\{\1\}(?!\s*\\\})"), r"\\begin{cases}\2\\end{cases}"),
    (r"\begin", r"\\begin\s*\{(aligned|align\*?|gathered|split)\}(.*?)\\end\s*\{\1\}",
     lambda m: rf"\begin{{cases}}{m[2].replace('&', '')}\end{{cases}}"),
    ("const", rf"\+\s*(?:{_IN_TEXT})?\s*const(?:ant)?\.?(?![A-Za-z])\s*\}}?", "+C"),
    ("^", (rf"(?<=[0-9])\s*\^\s*\{{?\s*(?:{_IN_TEXT})?\s*(st|nd|rd|th)\b"
           r"\s*\}?\s*\}?"), r"\\text{ \1}"),
    # half-open intervals as in [0, 1[
    ("[", r"(?<=[^\\\[])\[(?=\s*(?:$|\\cup))", ")"),
    ("]", r"(^|\\cup\s*)\](?=[^\[\]()]*,)", r"\1("),
    ("color", r"\\(?:text|f)?color(?:box)?\s*(?:\[[^\]{}]{0,20}\])?\s*\{[^{}]{0,40}\}", ""),
    (r"\tag", r"\\tag\*?\s*\{[^{}]{0,20}\}", ""),
    (r"\operatorname", r"\\operatorname\s*\*", r"\\operatorname"),
    # \text{min} can be minutes; the lexer reads it as a function where it is one
    ("{", (rf"\\(?:{_TEXT}|operatorname|mathop|mbox)\s*\{{\s*({'|'.join(FUNCTIONS - {'min'})})"
           r"\s*\}"),
     r"\\\1 "),
    (r"\!", r"(?<=[0-9])\s*\{?,\}?\s*\\!\s*(?=[0-9]{3}(?![0-9]))", "{,}"),
    ("√", r"√\s*([0-9]+(?:\.[0-9]+)?)", r"\\sqrt{\1}"),
    ("√", "√", r"\\sqrt "),
    (",", r"(?<=,)\s*(?:\.\.\.|…)\s*(?=,|$)", r" \\ldots "),
    ("mod", (rf"\(\s*(?:\\[bp]mod|{_IN_TEXT}\s*mod\s*\}}?|mod\b)\s*\{{?\s*([0-9]+|[a-z])"
             r"\s*\}?\s*\)"), r"\\pmod{\1}"),
    ("C", r"\\(?:mathrm|text)\s*\{\s*C\s*\}(?=\s*[_^])", "C"),
    ("C", (r"(?:\{\s*\})?\s*[_^]\s*\{?\s*([0-9]+|[nmk])\s*\}?\s*C\s*_\s*\{?\s*([0-9]+|[nmkr])"
           r"\s*\}?"), r"\\binom{\1}{\2}"),
    ("!=", r"(?<=[0-9])!=(?!=)", "! ="),  # 3!=6 is about a factorial, x != 6 is not
    ("cases", r"\\(begin|end)\s*\{[dr]cases\}", r"\\\1{cases}"),
    # units: a fraction of two, micro- before one, ohms behind a number
    (r"\frac", (rf"\\frac\s*\{{\s*{_IN_TEXT}([^{{}}]*)\}}\s*\}}\s*\{{\s*{_IN_TEXT}([^{{}}]*)\}}"
                r"\s*\}"), r"\\text{ \1/\2}"),
    (r"\mu", rf"(?:{_IN_TEXT}\s*\}}\s*)?\\mu\s*{_IN_TEXT}\s*([A-Za-z]{{1,2}})\s*\}}",
     r"\\text{ µ\1}"),
    (r"\mu", rf"({_IN_TEXT}\s*)\\mu\s*([A-Za-z]{{1,2}}\s*\}})", r"\1µ\2"),
    (r"\Omega", (rf"(?<=[0-9])\s*(?:\\[,;: ]|~)?\s*(?:{_IN_TEXT})?\s*([kM]?)\\Omega\s*\}}?\s*$"),
     r"\\text{ \1ohm}"),
    ("^", r"(?<=[0-9}])\s*\^\s*\{?\s*(?:\\circ|\\text\s*\{\s*o\s*\}|(?<=\{)o(?=\s*\}))\s*\}?", "°"),
    ("'", r"\^\s*\{\s*('+)\s*\}|\^\s*('+)", r"\1\2"),
    # approximate values get the sign \approx
    ("}", (rf"(?<=\S)\s*{_IN_TEXT}\s*,?\s*(?:(?:or|which is)\s+)?"
           r"(?:approx(?:imately|\.)?|about|roughly)\s*\}"), r"\\approx "),
    (r"\approx", r"(?<=\S)\s*\(\s*\\approx([^()]*)\)\s*\.?\s*$", r"\\approx \1"),
    (".", r"(?<!\.)\.\s?(\$?)$", r"\1"),
    # sets of numbers in words
    ("real", (rf"(?:{_IN_TEXT})?\s*\b[Aa]ll real numbers? (?:except|besides|other than)(?: for)?"
              r"(?:\s*x\s*=)?\s*\}?\s*([-+0-9][^{}]{0,40}?)\s*\}?\s*$"),
     r"\\mathbb{R}\\setminus\\{\1\\}"),
    ("real", rf"^(?:{_IN_TEXT})?\s*(?:[Tt]he set of )?[Aa]ll (?:the )?real(?:s| numbers)\s*\}}?$",
     r"\\mathbb{R}"),
    ("infinity", rf"^(?:{_IN_TEXT})?\s*([+-]?)\s*(?:positive )?infinity\s*\}}?$", r"\1\\infty"),
    ("solution", rf"^(?:{_IN_TEXT})?\s*[Nn]o (?:real )?solutions?(?: exists?)?\s*\}}?$",
     r"\\emptyset"),
)  # fmt: skip
_REWRITES = [(needle, re.compile(old), new) for needle, old, new in _RULES]
_TAILS = (r"\,", r"\;", r"\:", r"\!", r"\>", r"\newline", "\\")
_DOUBLED = re.compile(r"(?<!\\)\\\\(?=[A-Za-z]{2})")
_COMMAND = re.compile(r"\\(?:left|right)\s*\.(?![0-9])|\\([A-Za-z]+)")
_BLANKS = re.compile(r"[ \t\n\r\f\v]{2,}")
_FAMILY = re.compile(
    r"\{\s*\\(bf|rm|it|tt|sf)(?![A-Za-z])\s*|\\(bf|rm|it|tt|sf)\s*(\{|(?![A-Za-z]))"
)
_INFIX = re.compile(r"\\(over|choose)(?![A-Za-z])")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|[{}$]|[^\\{}$]+|\\", re.DOTALL)
_RENAMED = {
    r"\%": "%", r"\$": "$", r"\,": THIN, r"\;": " ", r"\:": " ", r"\>": " ",
    r"\ ": " ", r"\quad": " ", r"\qquad": " ",
}  # fmt: skip
_ARGUMENTS = {r"\frac": 2, r"\binom": 2, r"\sqrt": 1}  # numbers of arguments, with or without {}
_BARE_SCRIPT = re.compile(r"([\^_])\s*([+-]?[0-9]+|[A-Za-z])")
_DEGREE = re.compile(r"\s*\^\s*(?:\{\s*\\circ\s*\}|\\circ(?![A-Za-z]))")
_PLAIN = re.compile(r"[A-Za-z0-9 .,:+/()=-]*")
_PLAIN_NEEDS = re.compile(r"\.$|all real|real num|const|mod|\.\.|infinity|solution")
_MAX_NESTED = 8  # levels of infix fractions, and of dressing around the whole


@lru_cache(maxsize=1024)
def tidy(text: str) -> str:
    r"""Return `text` with one spelling for each meaning: \dfrac{3}{4} as \frac{3}{4}."""
    text = _BLANKS.sub(" ", text.translate(LOOKALIKES)).strip()
    if "\\" in text:
        text = _undoubled(text)
        text = _FAMILY.sub(_family, text)
        text = _COMMAND.sub(lambda m: _COMMANDS.get(m[1], m[0]) if m[1] else " ", text)
        text = _unwrapped(_infix(text))
    if _PLAIN.fullmatch(text) is None or _PLAIN_NEEDS.search(text):
        for needle, old, new in _REWRITES:
            if needle in text:
                text = old.sub(new, text)
    return _trimmed(text).strip()


def _trimmed(text: str) -> str:
    """Return the text without blanks and line breaks at its end.

    A regular expression would take quadratic time.
    """
    while True:
        bare = text.rstrip(" ~")
        tail = next((tail for tail in _TAILS if bare.endswith(tail)), "")
        bare = bare.removesuffix(tail)
        if bare == text:
            return text
        text = bare


def _undoubled(text: str) -> str:
    """Return text that was escaped twice with single backslashes before names.

    Line breaks in matrices and tables keep their two backslashes.
    """
    if r"\begin" in text:
        return text.replace("\\\\", "\\") if r"\\begin" in text else text
    return _DOUBLED.sub(r"\\", text)


def _family(m: re.Match[str]) -> str:
    r"""Return {\bf x} and \bf{x} as \mathbf{x}, and remove \bf without an argument."""
    if m[1]:
        return rf"\{_FAMILIES[m[1]]}{{"
    return rf"\{_FAMILIES[m[2]]}{{" if m[3] else " "


def _infix(text: str) -> str:
    r"""Return {a \over b} as \frac{a}{b}, {n \choose k} as \binom{n}{k}."""
    for _ in range(_MAX_NESTED):
        m = _INFIX.search(text)
        if m is None:
            break
        start, end = _opening(text, m.start()), _closing(text, m.end())
        name = "frac" if m[1] == "over" else "binom"
        top, bottom = text[start + 1 : m.start()].strip(), text[m.end() : end].strip()
        text = rf"{text[: max(start, 0)]}{{\{name}{{{top}}}{{{bottom}}}}}{text[end + 1 :]}"
    return text


def _unwrapped(text: str) -> str:
    r"""Return the text without a \text{...} or similar macro around the whole."""
    for _ in range(_MAX_NESTED):
        m = _WHOLE.match(text)
        if m is None or _closing(text, m.end()) != len(text.rstrip(" .")) - 1:
            break
        text = text[m.end() : _closing(text, m.end())].strip()
    return text


_WHOLE = re.compile(rf"\s*(?:\$\s*)?\\(?:{_TEXT}|mbox|hbox|boxed|fbox|underline)\s*\{{")
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)


def _closing(text: str, position: int) -> int:
    """Return the position of the brace that closes the group around `position`.

    Returns the length of the text if there is none.
    """
    level = 0
    for m in _BRACES.finditer(text, position):
        level += (m[0] == "{") - (m[0] == "}")
        if level < 0:
            return m.start()
    return len(text)


def _opening(text: str, position: int) -> int:
    """Return the position of the brace that opens the group around `position`; -1 if none."""
    opened: list[int] = []
    for m in _BRACES.finditer(text, 0, position):
        if m[0] == "{":
            opened.append(m.start())
        elif m[0] == "}" and opened:
            opened.pop()
    return opened[-1] if opened else -1


@lru_cache(maxsize=2048)
def clean(text: str) -> str:
    """Return `text` without its formatting; the value stays the same."""
    if _PLAIN.fullmatch(text):  # most answers in a run have no dressing
        return _squeeze(text)
    text = tidy(text).replace("~", " ").strip()
    if len(text) > 4 and text.startswith("**") and text.endswith("**"):
        text = text[2:-2]
    text = "".join(_Unwrapper(text).run())
    text = _BARE_SCRIPT.sub(r"\1{\2}", _DEGREE.sub("°", text))
    return _squeeze(text)


class _Unwrapper:
    r"""Removes formatting macros with their braces, and braces around anything but arguments.

    It also puts braces around the bare arguments of a fraction or root, as in \frac12.
    """

    def __init__(self, text: str) -> None:
        self.tokens = _TOKEN.findall(text)
        self.math_mode = (text.count("$") - text.count(r"\$")) % 2 == 0  # else a $ is money
        self.out: list[str] = []
        self.open: list[tuple[bool, int]] = []  # each brace: is it kept; `wanted` after it closes
        self.argument = False  # would a brace here be an argument?
        self.wanted = 0  # arguments that a fraction or root still needs

    def run(self) -> list[str]:
        for token in self.tokens:
            if token == "{":
                self._open()
            elif token == "}":
                self._close()
            elif token[:1] == "\\" and token[1:] in DRESSING:
                self.argument, self.wanted = False, 0
                if self.out and (self.out[-1][-1:].isdecimal() or self.out[-1][:1] == "\\"):
                    self.out.append(" ")  # 5\mathrm{m} is a number and its unit
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
    """Return the text with single blanks and without a full stop at the end.

    Thin spaces stay only between digits.
    """
    if THIN in text:
        text = re.sub(rf"(?<![0-9]){THIN}|{THIN}(?![0-9])", " ", text)
    # `split` takes a thin space for a blank, so it is replaced meanwhile.
    text = " ".join(text.replace(THIN, "\x00").split()).replace("\x00", THIN)
    return text[:-1].rstrip() if len(text) > 1 and text.endswith(".") else text
