r"""Exact values of written numbers: 1{,}234.5, 2.5e-3, 0.1\overline{6}, 0.333..."""

import re
from fractions import Fraction

from mssr_rl.grading.algebra.tree import Unreadable
from mssr_rl.grading.quantities import MAX_EXPONENT, OverLimit

MAX_REPEATING = 64  # digits; finding the period takes quadratic time


def decimal(text: str) -> Fraction:
    """Return the value of a number, perhaps with digit group separators or an exponent of ten."""
    digits = re.sub(r"\{,\}|\\[,!]|[,\u2009]", "", text)
    mantissa, _, exponent = digits.lower().partition("e")
    if abs(int(exponent or 0)) > MAX_EXPONENT:
        raise OverLimit(f"10^{exponent}")
    whole, _, part = mantissa.partition(".")
    value = Fraction(int(whole + part or "0"), 10 ** len(part))
    return value * Fraction(10) ** int(exponent or 0)


def repeating(text: str) -> Fraction:
    r"""Return the value of a repeating decimal: 0.1\overline{6}, 0.1(6) and 0.1666... are 1/6."""
    if len(text) > MAX_REPEATING:
        raise OverLimit(f"a repeating decimal of {len(text)} characters")
    whole, _, rest = text.partition(".")
    if "\\dot" in rest:
        fixed, _, dotted = rest.partition("\\")
        period = "".join(re.findall("[0-9]", dotted))
    elif m := re.fullmatch(r"([0-9]*)(?:\\[a-z]+\s*\{?|\()([0-9]+)[)}]?", rest):
        fixed, period = m[1], m[2]
    elif m := re.match(r"([0-9]*?)(?:([0-9])\2{2,}|([0-9]{2,}?)\3+)(?=[.\\\u2026])", rest):
        fixed, period = m[1], m[2] or m[3]
    else:
        raise Unreadable(text[:40])
    before = int(whole + fixed or "0")
    nines = (10 ** len(period) - 1) * 10 ** len(fixed)
    return Fraction(int(whole + fixed + period) - before, nines)
