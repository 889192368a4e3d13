"""Decide whether two expressions are the same function, and two relations the same relation.

This is identity testing: both sides are evaluated at the same fixed points. Rational values are
compared exactly. Other values are computed to enough digits that a difference must show
(`numeric.Numeric.range`). One point at which the sides differ proves that they are different. If
they agree at all points, and enough of these lie in both domains, they count as equal. For
polynomials of the accepted sizes the chance of an error is nil (Schwartz-Zippel). For other
expressions it is far below the chance of a wrong gold answer.
"""

from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import mpmath
from mpmath import mp, mpf

from mssr_rl.grading.algebra import symbolic
from mssr_rl.grading.algebra.exact import Undefined
from mssr_rl.grading.algebra.numeric import DIGITS, Numeric, Point
from mssr_rl.grading.algebra.tree import (
    INFINITY,
    Node,
    difference,
    marks,
    number,
    replaced,
    symbols,
    walk,
)
from mssr_rl.grading.quantities import OverLimit

POINTS = 14
ENOUGH, PLENTY = 4, 8  # points in both domains: the number that is needed; the number tried
MAX_DIGITS = 12_000
MAX_BREAKS = 8  # of a piecewise function

# Spread over both signs, inside and outside of 1, no two related by a simple factor.
_COORDINATES = [
    Fraction(*pair)
    for pair in (
        (83, 97), (-61, 89), (151, 67), (-173, 71), (31, 101), (-17, 103), (227, 59), (311, 47),
        (-409, 53), (43, 107), (569, 113), (71, 79), (-23, 37), (97, 29), (13, 61), (-5, 31),
    )
]  # fmt: skip
# Letters that may be negative anywhere. Other letters under a root are lengths or masses.
_OF_ANY_SIGN = frozenset("xyzt")


def same_value(a: Node, b: Node) -> bool:
    """Return whether `a` equals `b` at every point at which both have a value.

    If both have roots, it is enough that they agree where letters outside `_OF_ANY_SIGN` are
    positive.
    """
    if _infinity(a) or _infinity(b):
        return _infinity(a) == _infinity(b)
    if a == b:
        return _has_value(a)
    names, kinds = symbols(a) | symbols(b), marks(a) | marks(b)
    whole = _bounds(a) | _bounds(b) if "big" in kinds else frozenset()
    breaks = _breaks(a) + _breaks(b) if "piecewise" in kinds else []
    strict = not kinds.isdisjoint(("piecewise", "abs"))
    agree = _agree(a, b, _points(names, whole, breaks), strict=strict)
    if agree:
        return True
    if names - _OF_ANY_SIGN and _has_root(a) and _has_root(b):
        positive = _agree(a, b, map(_positive, _points(names)), strict=False)
        agree = positive or agree
    # sympy comes last: of 1,140 pairs that numbers decided, it misses 7 and cannot take 68
    # (docs/grading.md).
    return symbolic.same(a, b) if agree is None else agree


def same_zeros(a: Node, b: Node, *, positive: bool) -> bool:
    """Return whether `a` is a constant times `b`, so that a = 0 and b = 0 have the same solutions.

    With `positive` the constant must be positive; then a < 0 and b < 0 have the same solutions too.
    """
    names = symbols(a) | symbols(b)
    points = _points(names, _bounds(a) | _bounds(b))
    base = next((p for p in points if _nonzero(a, p) and _nonzero(b, p)), None)
    if not names or base is None:
        return False
    if positive and _sign(a, base) != _sign(b, base):
        return False
    # If a = c b, then a(x) b(x0) = b(x) a(x0) at every x, and nothing is divided.
    left = Node("product", "", (a, _at(b, base)))
    right = Node("product", "", (b, _at(a, base)))
    return same_value(left, right)


def compare_constants(a: Node, b: Node) -> int:
    """Return -1, 0 or 1 if the constant `a` is less than, equal to or greater than `b`.

    Both may be infinite.

    Raises:
        OverLimit: they differ by less than the digits show.
        Undefined: one has no value.
    """
    infinite = _infinity(a), _infinity(b)
    if any(infinite):
        return (infinite[0] > infinite[1]) - (infinite[0] < infinite[1])
    if a == b:
        return 0
    return _sign(difference(a, b), {})


def value_near(node: Node) -> Fraction | None:
    """Return the value of a constant: exact, or rounded to thirty decimal places.

    Returns None if it has no real value. The result is compared with a decimal.
    """
    value = _value_at(node, {})
    if value is None or isinstance(value, Fraction):
        return value
    if mpmath.im(value) != 0:
        return None
    with mp.workdps(DIGITS):
        return Fraction(int(mpmath.nint(mpmath.re(value) * mpf(10) ** 30)), 10**30)


def _infinity(node: Node) -> int:
    if node.kind == "negative":
        return -_infinity(node.parts[0])
    return int(node == INFINITY)


def _has_value(node: Node) -> bool:
    """Return whether an expression has a value at some point.

    An expression without a value, such as 1/0, does not equal even itself. One that is too large to
    evaluate does.
    """
    try:
        points = _points(symbols(node), _bounds(node))
        return any(_value_at(node, point) is not None for point in points)
    except OverLimit:
        return True


def _has_root(node: Node) -> bool:
    return "root" in marks(node) or any(
        part.kind == "power"
        and not symbols(part.parts[1])
        and (value_near(part.parts[1]) or Fraction(1)).denominator == 2
        for part in walk(node)
    )


def _bounds(node: Node) -> frozenset[str]:
    """Return the letters in the bounds of sums and products, such as n in a sum from 1 to n.

    Their values must be whole numbers.
    """
    bounds = [symbols(part.parts[1]) | symbols(part.parts[2]) for part in walk(node)
             if part.kind == "big"]  # fmt: skip
    return frozenset().union(*bounds)


def _breaks(node: Node) -> list[Point]:
    """Return the points at which the cases of a piecewise function begin or end."""
    points: list[Point] = []
    for row in (row for part in walk(node) if part.kind == "piecewise" for row in part.parts):
        for end in (part for part in walk(row.parts[1]) if not symbols(part)):
            value = value_near(end) if end.kind != "relation" else None
            points += [{name: value} for name in symbols(node) if value is not None]
    return points[:MAX_BREAKS]


def _points(
    names: frozenset[str], whole: frozenset[str] = frozenset(), more: Sequence[Point] = ()
) -> Iterator[Point]:
    if not names:
        yield {}
        return
    yield from (point for point in more if point.keys() == names)
    for i in range(POINTS):
        yield {
            name: Fraction(2 + (5 * i + 3 * j) % 11)
            if name in whole
            # An odd stride visits all sixteen numbers; every letter has another stride, so letters
            # differ.
            else _COORDINATES[(i * (2 * j + 1) + 3 * j) % len(_COORDINATES)]
            for j, name in enumerate(sorted(names))
        }


def _positive(point: Point) -> Point:
    return {n: value if n in _OF_ANY_SIGN else abs(value) for n, value in point.items()}


def _agree(a: Node, b: Node, points: Iterable[Point], *, strict: bool) -> bool | None:
    """Return whether `a` and `b` agree at the points; None if they agree, but at too few points.

    With `strict`, at each point either both must have a value, or neither.
    """
    compared, free, pair, digits = 0, bool(symbols(a) | symbols(b)), _Pair.of(a, b), DIGITS
    for point in points:
        try:
            enough = _digits_that_agree(pair, point, digits)
            if not enough:
                return False
            compared, digits = compared + 1, enough
            # The ends of cases come first, so a function by cases needs that many more points.
            if compared == PLENTY + MAX_BREAKS * strict:
                return True
        except Undefined:
            if strict and (_value_at(a, point) is None) != (_value_at(b, point) is None):
                return False
    if not free:
        return compared > 0
    return True if compared >= ENOUGH else None if compared else False


class _Pair(NamedTuple):
    """Two expressions, whether they are complex, and how many digits their numbers have."""

    a: Node
    b: Node
    is_complex: bool
    written: int

    @classmethod
    def of(cls, a: Node, b: Node) -> "_Pair":
        return cls(a, b, "i" in marks(a) or "i" in marks(b), _written(a) + _written(b))


def _digits_that_agree(pair: _Pair, point: Point, digits: int) -> int:
    """Return the number of digits that showed agreement at the point; 0 if the two differ.

    `digits` is the first number of digits to try. It is the number that was enough at the last
    point.
    """
    if digits > DIGITS:
        gap = _difference(pair, point, digits)
        if gap.apart:
            return 0
        if gap.is_exact or digits >= _enough_digits(gap.range, pair.written):
            return digits
    # Few digits first: they show the range, and from it follows how many are enough.
    gap = _difference(pair, point, DIGITS)
    if gap.apart or gap.is_exact:
        return 0 if gap.apart else digits
    enough = _enough_digits(gap.range, pair.written)
    return 0 if _difference(pair, point, enough).apart else enough


def _enough_digits(size: int, written: int) -> int:
    """Return how many digits are needed so that rounding can hide no difference.

    Raises OverLimit if they are more than MAX_DIGITS.
    """
    digits = DIGITS + 3 * size + written
    if digits > MAX_DIGITS:
        raise OverLimit(f"{digits} digits")
    return digits


class _Difference(NamedTuple):
    apart: bool
    range: int
    is_exact: bool


def _difference(pair: _Pair, point: Point, digits: int) -> _Difference:
    """Return whether the sides differ by more than rounding error, and `Numeric.range`."""
    numeric = Numeric(digits, complex_numbers=pair.is_complex)
    with mp.workdps(digits):
        left, right = numeric.value(pair.a, point), numeric.value(pair.b, point)
        if isinstance(left, Fraction) and isinstance(right, Fraction):
            return _Difference(left != right, 0, is_exact=True)
        gap = abs(numeric.real(left) - numeric.real(right))
        return _Difference(gap > numeric.error(), numeric.range, is_exact=False)


def _written(node: Node) -> int:
    """Return about how many decimal digits the numbers of an expression have in all."""
    numbers = [Fraction(part.value) for part in walk(node) if part.kind == "number"]
    bits = sum(n.numerator.bit_length() + n.denominator.bit_length() for n in numbers)
    return bits * 3 // 10


def _is_complex(node: Node) -> bool:
    return "i" in marks(node)


def _value_at(node: Node, point: Point) -> Any:
    try:
        return Numeric(DIGITS, complex_numbers=_is_complex(node)).value(node, point)
    except Undefined:
        return None


def _nonzero(node: Node, point: Point) -> bool:
    value = _value_at(node, point)
    return value is not None and abs(value) > 1e-20


def _sign(node: Node, point: Point) -> int:
    """Return the sign of an expression at a point: -1, 0 or 1.

    More digits are computed if the first ones do not show the sign. Raises Undefined if the value
    is not real.
    """
    digits = DIGITS
    for _ in range(2):
        numeric = Numeric(digits, complex_numbers=_is_complex(node))
        approximate = numeric.value(node, point)
        if isinstance(approximate, Fraction):
            return (approximate > 0) - (approximate < 0)
        with mp.workdps(digits):
            if abs(approximate) > numeric.error():
                if abs(mpmath.im(approximate)) > numeric.error():
                    raise Undefined("no real number")
                return 1 if mpmath.re(approximate) > 0 else -1
        digits = _enough_digits(numeric.range, _written(node))
    return 0


def _at(node: Node, point: Point) -> Node:
    """Return the tree with the point's numbers in place of its letters."""

    def value(part: Node) -> Node | None:
        named = part.kind == "symbol" and part.name in point
        return number(point[part.name]) if named else None

    return replaced(node, value)
