"""Compare answers to a stated precision: both are rounded to that many decimal places.

This is only for data sets whose rows state a precision (MathVista's floats). All other values are
compared exactly.
"""

from fractions import Fraction

from mssr_rl.grading.answers import MAX_CHARS
from mssr_rl.grading.latex import clean
from mssr_rl.grading.quantities import OverLimit, quantity
from mssr_rl.grading.verify import Verdict, verify


def verify_rounded(response: str, answer: str, places: int) -> Verdict:
    """Return the verdict on a response; numbers are compared after rounding to `places`.

    Other answers are graded by `verify`.
    """
    verdict = verify(response, answer)
    if verdict.reason != "wrong" or verdict.extracted is None:
        return verdict
    value, wanted = _number(verdict.extracted), _number(answer)
    if value is None or wanted is None or _rounded(value, places) != _rounded(wanted, places):
        return verdict
    return Verdict("correct", verdict.extracted)


def _rounded(value: Fraction, places: int) -> int:
    """Return the value rounded to `places`, in units of the last decimal place.

    Halves are rounded away from zero: 51.045 to 51.05.
    """
    scaled = abs(value) * 10**places
    return (-1 if value < 0 else 1) * int(scaled + Fraction(1, 2))


def _number(text: str) -> Fraction | None:
    if len(text) > MAX_CHARS:
        return None
    try:
        parsed = quantity(clean(text))
    except OverLimit:
        return None
    return parsed.value if parsed else None
