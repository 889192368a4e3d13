"""Read numbers with or without a unit exactly: integers, decimals, fractions, per cent, money.

`answers` uses this module on texts that `latex.clean` has cleaned. Values are `Fraction`s, so
nothing is rounded and nothing overflows. A number that is too large to expand raises OverLimit.
Units are names (see `units`) and are never converted: 9 m and 900 cm are different here. Of two
quantities, the first is the response's and the second the gold answer's.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from mssr_rl.grading.latex import THIN
from mssr_rl.grading.units import same_unit, unit_name

MAX_EXPONENT = 4096  # 10^n with a larger n is refused, not expanded


class OverLimit(Exception):
    """Raised if an answer is too large to be compared within the time of one response."""


class Quantity(NamedTuple):
    """A number and its unit. `value` is None if the number is undefined, as in 1/0."""

    value: Fraction | None
    unit: str = ""


_INT = rf"(?:[1-9][0-9]{{0,2}}(?:(?:,[0-9]{{3}})+|(?:{THIN}[0-9]{{3}})+)(?![0-9])|[0-9]+)"
_DECIMAL = rf"(?:{_INT}(?:\.[0-9]*)?|\.[0-9]+)"
_NUMBER = re.compile(rf"({_DECIMAL})(?:[eE]([+-]?[0-9]+))?")
_SCIENTIFIC = re.compile(rf"(?:({_DECIMAL})\s*(?:\\times|\\cdot|\*)\s*)?10\^\{{([+-]?[0-9]+)\}}")
_REPEATING = re.compile(r"([0-9]*)\.([0-9]*)\\(?:overline|bar)\{([0-9]+)\}")
_FRACTION = re.compile(r"\\frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}|([^/{}]+)/([^/{}]+)")
_OPERAND = re.compile(rf"([+-]?)\s*({_DECIMAL})")
_MIXED = re.compile(
    r"([0-9]+)(?:\s*\\frac\s*\{\s*([0-9]+)\s*\}\s*\{\s*([0-9]+)\s*\}"
    r"|\s+([0-9]+)\s*/\s*([0-9]+))"
)
_SIGNS = "$€£¥₹"
_STARTS = re.compile(
    rf"[+\-\s]*(?:[0-9.(]|\\frac|[{_SIGNS}]|[A-Z]{{1,3}}\$|[A-Z][A-Za-z]{{1,2}}\b)"
)
_SUFFIX = re.compile(rf"(?<![\\A-Za-z{{])[A-Za-zµμΩ°%¢{_SIGNS}\u4e00-\u9fff]")
_ALGEBRA = re.compile(r"[^\s][A-Za-z](?:\s*\^.*)?")
_CURRENCY = re.compile(
    rf"([+\-\s]*)([{_SIGNS}]|US\$|Rs\b\.?|(?:USD|EUR|GBP|RMB|CNY|JPY|INR)\b)\s*(.*)", re.DOTALL
)


def quantity(text: str) -> Quantity | None:
    """Return the quantity that the whole `text` states, or None if it is not a quantity."""
    if not _STARTS.match(text):
        return None
    if bare_number := _number(text):
        return bare_number
    if money := _CURRENCY.fullmatch(text):
        return _with_unit(money[1] + money[3], money[2])
    if text[0].isalpha():
        return None
    suffix = _SUFFIX.search(text)
    if suffix and _ALGEBRA.fullmatch(text, suffix.start() - 1):
        return None  # 4m is four times m; 4 m is four metres
    return suffix and _with_unit(text[: suffix.start()].rstrip(), text[suffix.start() :])


def same_quantity(said: Quantity, gold: Quantity) -> bool:
    """Return whether two quantities are equal. One of them may lack its unit.

    n% equals n/100. If the other number has no unit, n% also equals n, because questions that ask
    for a percentage need that. This is not accepted for numbers up to 1: 0.5% for 0.5 is wrong by a
    factor of a hundred.
    """
    if said.value is None or gold.value is None:
        return False
    if said.unit == gold.unit:
        return said.value == gold.value
    if "%" not in (said.unit, gold.unit):
        return said.value == gold.value and same_unit(said.unit, gold.unit)
    percent, other = (said.value, gold) if said.unit == "%" else (gold.value, said)
    if other.unit or other.value is None:
        return False
    return other.value == percent / 100 or (other.value == percent and abs(percent) > 1)


def _with_unit(number: str, unit: str) -> Quantity | None:
    name, bare_number = unit_name(unit), _number(number)
    return Quantity(bare_number.value, name) if name and bare_number else None


def _number(text: str) -> Quantity | None:
    """Return the number in a text without unit, perhaps with signs and brackets: -(-5), -(1/2)."""
    sign = 1
    # More than three pairs of brackets are left to `algebra`.
    for _ in range(4):
        bare = text.lstrip("+- ")
        sign *= (-1) ** text[: len(text) - len(bare)].count("-")
        if not (bare.startswith("(") and bare.endswith(")") and "(" not in bare[1:]):
            magnitude = _unsigned(bare)
            return Quantity(magnitude.value and sign * magnitude.value) if magnitude else None
        text = bare[1:-1].strip()
        if "," in text:  # brackets with a comma are a tuple
            return None
    return None


def _unsigned(text: str) -> Quantity | None:
    if m := _NUMBER.fullmatch(text):
        return Quantity(_decimal(m[1]) * _ten_to(m[2] or "0"))
    if m := _MIXED.fullmatch(text):
        rest = _ratio(Fraction(int(m[2] or m[4])), Fraction(int(m[3] or m[5])))
        return Quantity(None if rest is None else int(m[1]) + rest)
    if m := _FRACTION.fullmatch(text):
        top, bottom = _operand(m[1] or m[3] or ""), _operand(m[2] or m[4] or "")
        return None if top is None or bottom is None else Quantity(_ratio(top, bottom))
    if m := _SCIENTIFIC.fullmatch(text):
        return Quantity(_decimal(m[1] or "1") * _ten_to(m[2]))
    if m := _REPEATING.fullmatch(text):
        return Quantity(_repeating(m[1], m[2], m[3]))
    return None


def _ratio(top: Fraction, bottom: Fraction) -> Fraction | None:
    return top / bottom if bottom else None


def _operand(text: str) -> Fraction | None:
    """Return the value of a numerator or denominator: a signed decimal, perhaps in brackets."""
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1].strip()
    m = _OPERAND.fullmatch(text)
    return (-1 if m[1] == "-" else 1) * _decimal(m[2]) if m else None


def _decimal(text: str) -> Fraction:
    whole, _, part = text.replace(",", "").replace(THIN, "").partition(".")
    return Fraction(int(whole + part or "0"), 10 ** len(part))


def _ten_to(exponent: str) -> Fraction:
    n = int(exponent)
    if abs(n) > MAX_EXPONENT:
        raise OverLimit(f"10^{n}")
    return Fraction(10) ** n


def _repeating(whole: str, fixed: str, period: str) -> Fraction:
    """Return the value of a repeating decimal: 0.1(6) is (16 - 1) / 90."""
    before = int(whole + fixed or "0")
    nines = (10 ** len(period) - 1) * 10 ** len(fixed)
    return Fraction(int(whole + fixed + period) - before, nines)
