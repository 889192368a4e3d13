r"""Compare sums term by term: y = 2x + 1, 3 - x, 2 + 3\sqrt{5}, \frac{x}{2} - 1.

`answers` uses this module. A term is a rational coefficient times at most one atom. An atom is a
letter, a Greek letter or a root, perhaps with a power. Atoms are compared as written. So sums that
are found equal here are equal; other sums may still be equal by `algebra`.
"""

import re
from fractions import Fraction
from typing import NamedTuple

from mssr_rl.grading.quantities import quantity

Sum = dict[str, Fraction]  # atom -> coefficient, "" for the constant; no zero coefficients


class Equation(NamedTuple):
    """The two sides of an equation as text, and its normal form.

    `normal` is left - right, scaled to a leading coefficient of 1. It is None if a side is not a
    sum of terms.
    """

    left: str
    right: str
    normal: frozenset[tuple[str, Fraction]] | None


_GREEK = r"\\(?:pi|alpha|beta|gamma|delta|theta|phi|lambda|mu|rho|omega|varphi)(?![A-Za-z])"
_ATOM = rf"(?:[A-Za-z]|{_GREEK}|\\sqrt\{{[^{{}}]*\}})(?:_\{{[^{{}}]*\}})?(?:\^\{{[^{{}}]*\}})?"
_COEFFICIENT = r"(?:\\frac\s*\{[0-9]+\}\s*\{[0-9]+\}|[0-9]+/[0-9]+|[0-9]+(?:\.[0-9]+)?)"
_TERM = re.compile(
    rf"\s*(?P<sign>[+-]?)\s*(?:"
    rf"\\frac\{{(?P<top>[0-9]*)\s*(?P<over>{_ATOM})\}}\{{(?P<bottom>[0-9]+)\}}"
    rf"|(?:(?P<coefficient>{_COEFFICIENT})(?:\s*(?:\*|\\cdot|\\times)\s*(?=[A-Za-z\\]))?)?\s*"
    rf"(?P<atom>{_ATOM})?(?:\s*/\s*(?P<divisor>[0-9]+))?)\s*"
)


def linear_sum(text: str) -> Sum | None:
    """Return {atom: coefficient} of `text` with like terms added; None if it is not such a sum."""
    total: Sum = {}
    position = 0
    while position < len(text):
        m = _TERM.match(text, position)
        if not m or m.end() == position or (position and not m["sign"]):
            return None
        term = _term(m)
        if term is None:
            return None
        atom, value = term
        total[atom] = total.get(atom, Fraction(0)) + value
        position = m.end()
    return {atom: value for atom, value in total.items() if value} if total else None


def equation(text: str) -> Equation | None:
    """Return the equation in `text`; None unless it has one equals sign with text on both sides."""
    left, sign, right = (part.strip() for part in text.partition("="))
    # <=, >=, != and := hold an equals sign too, and are no equations.
    if not (sign and left and right) or "=" in right or left[-1] in "<>!:":
        return None
    a, b = linear_sum(left), linear_sum(right)
    return Equation(left, right, None if a is None or b is None else _normal(a, b))


def _term(m: re.Match[str]) -> tuple[str, Fraction] | None:
    sign = -1 if m["sign"] == "-" else 1
    if m["over"]:
        return _over(m["over"], sign * Fraction(int(m["top"] or "1")), m["bottom"])
    if not (m["coefficient"] or m["atom"]):
        return None
    number = quantity(m["coefficient"] or "1")
    if number is None or number.value is None:
        return None
    return _over(m["atom"] or "", sign * number.value, m["divisor"] or "1")


def _over(atom: str, top: Fraction, bottom: str) -> tuple[str, Fraction] | None:
    return (atom.replace(" ", ""), top / int(bottom)) if int(bottom) else None


def _normal(a: Sum, b: Sum) -> frozenset[tuple[str, Fraction]] | None:
    """Return a - b, scaled so that its first atom in alphabetical order has coefficient 1."""
    difference = {k: a.get(k, Fraction(0)) - b.get(k, Fraction(0)) for k in {*a, *b}}
    atoms = sorted(atom for atom, value in difference.items() if atom and value)
    if not atoms:
        return None
    scale = difference[atoms[0]]
    return frozenset((atom, value / scale) for atom, value in difference.items() if value)
