"""Answers to a stated precision: both sides are rounded to so many decimal places, then compared.

Only for data sets whose rows state one (MathVista's floats); elsewhere values are exact.
"""

from fractions import Fraction

from mssr_rl.grading.answers import MAX_CHARS
from mssr_rl.grading.latex import clean
from mssr_rl.grading.quantities import OverLimit, quantity
from mssr_rl.grading.verify import Verdict, verify


def verify_rounded(response: str, answer: str, places: int) -> Verdict:
    """The verdict on a number, rounded to `places`; other answers go by `verify` alone."""
    verdict = verify(response, answer)
    if verdict.reason != "wrong" or verdict.extracted is None:
        return verdict
    said, wanted = _number(verdict.extracted), _number(answer)
    if said is None or wanted is None or _rounded(said, places) != _rounded(wanted, places):
        return verdict
    return Verdict("correct", verdict.extracted)


def _rounded(value: Fraction, places: int) -> int:
    """In units of the last place, halves away from zero as people round: 51.045 is 51.05."""
    scaled = abs(value) * 10**places
    return (-1 if value < 0 else 1) * int(scaled + Fraction(1, 2))


def _number(text: str) -> Fraction | None:
    if len(text) > MAX_CHARS:
        return None
    try:
        found = quantity(clean(text))
    except OverLimit:
        return None
    return found.value if found else None
