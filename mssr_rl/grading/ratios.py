r"""Compare ratios: 2:3 equals 4:6, and also the fraction \frac23 if the gold answer is a ratio.

`judge` uses this after it has compared the texts as written. If the gold answer is a ratio, the
question wants its value. The reverse is not true: 1:2 for the gold answer 1/2 may be odds, and
these mean 1/3. A text that can be a clock time, such as 8:30, is never treated as a ratio.
"""

import re

from mssr_rl.grading.answers import Same
from mssr_rl.grading.latex import clean

_TERM = r"(?:[0-9.]|\\(?:sqrt|frac|pi)(?![A-Za-z])|[{}()+\-*/ ]|(?<![A-Za-z\\])[a-z](?![A-Za-z]))+"
_RATIO = re.compile(rf"{_TERM}(?::{_TERM}){{1,3}}")
_CLOCK = re.compile(r"\s*[0-9]{1,2}(?::[0-5][0-9]){1,2}\s*")


def same_ratio(text: str, gold: str, same: Same) -> bool:
    """Return whether `text` has the value of the ratio `gold`.

    It may be a multiple of the ratio or, for two terms, the fraction. Returns False if `gold` is
    not a ratio.
    """
    terms, wanted = _terms(text), _terms(gold)
    if wanted is None:
        return False
    if terms is None:
        return len(wanted) == 2 and ":" not in text and same(text, _fraction(*wanted))
    if len(terms) != len(wanted):
        return False
    # Each term is compared with the first, so 2:3:4 is 4:6:8.
    pairs = zip(terms[1:], wanted[1:], strict=True)
    return all(same(_fraction(terms[0], a), _fraction(wanted[0], b)) for a, b in pairs)


def may_be_time(text: str) -> bool:
    """Return whether a text such as 8:30 can be a clock time."""
    return bool(_CLOCK.fullmatch(clean(text)))


def _terms(text: str) -> list[str] | None:
    bare = clean(text).replace(" to ", ":")
    return bare.split(":") if _RATIO.fullmatch(bare) and not may_be_time(bare) else None


def _fraction(top: str, bottom: str) -> str:
    return rf"\frac{{{top.strip()}}}{{{bottom.strip()}}}"
