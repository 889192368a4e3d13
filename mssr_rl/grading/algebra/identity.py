"""Are two expressions the same function, and two relations the same relation?

Identity testing: both sides are evaluated at the same fixed points. Rational ones are compared
exactly; others to so many digits that a difference could only hide below the smallest part that
either side has (`numeric.Numeric.range`). One point where they differ is a disproof; agreement at
all points, of which enough must lie in both domains, is taken as identity: for polynomials of the
sizes that are let in the chance of an error is nil (Schwartz-Zippel), for the rest it is far below
that of a wrong gold.
"""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from mpmath import mp, mpf

from mssr_rl.grading.algebra.exact import NotRational, Point, Undefined, exact
from mssr_rl.grading.algebra.numeric import Numeric
from mssr_rl.grading.algebra.tree import Node, number, symbols, walk
from mssr_rl.grading.quantities import OverLimit

POINTS = 14
ENOUGH, PLENTY = 4, 8  # points in both domains: that are needed, that are tried
DIGITS = 40
MAX_DIGITS = 12_000

# Spread over both signs, inside and outside of 1, no two related by a simple factor.
_COORDINATES = [
    Fraction(*pair)
    for pair in (
        (83, 97), (-61, 89), (151, 67), (-173, 71), (31, 101), (-17, 103), (227, 59), (311, 47),
        (-409, 53), (43, 107), (569, 113), (71, 79), (-23, 37), (97, 29), (13, 61), (-5, 31),
    )
]  # fmt: skip


def same_value(a: Node, b: Node) -> bool:
    """Is `a` = `b` wherever both have a value?"""
    if _infinity(a) or _infinity(b):
        return _infinity(a) == _infinity(b)
    if a == b:
        return _has_value(a)
    return _agree(symbols(a) | symbols(b), lambda point: _same_at(a, b, point))


def same_zeros(a: Node, b: Node, *, positive: bool) -> bool:
    """Is `a` a constant times `b`, so that a = 0 says what b = 0 says? `positive`: a < 0 too."""
    names = symbols(a) | symbols(b)
    base = next((p for p in _points(names) if _sign(a, p) and _sign(b, p)), None)
    if not names or base is None:
        return False
    if positive and _sign(a, base) != _sign(b, base):
        return False
    left = Node("product", "", (a, _at(b, base)))
    right = Node("product", "", (b, _at(a, base)))
    return same_value(left, right)


def compare_constants(a: Node, b: Node) -> int:
    """-1, 0 or 1 as the constant `a` is below, equal to or above `b`; infinities are allowed."""
    infinite = _infinity(a), _infinity(b)
    if any(infinite):
        return (infinite[0] > infinite[1]) - (infinite[0] < infinite[1])
    if same_value(a, b):
        return 0
    return _sign(Node("sum", "", (a, Node("negative", "", (b,)))), {})


def _infinity(node: Node) -> int:
    if node.kind == "negative":
        return -_infinity(node.parts[0])
    return int(node == Node("constant", "infinity"))


def _has_value(node: Node) -> bool:
    """Is there a point at which it has one? 1/0 equals nothing, itself neither."""
    return any(_value_at(node, point) is not None for point in _points(symbols(node)))


def _points(names: frozenset[str]) -> Iterator[Point]:
    if not names:
        yield {}
        return
    for i in range(POINTS):
        yield {
            name: _COORDINATES[(i * (2 * j + 1) + 3 * j) % len(_COORDINATES)]
            for j, name in enumerate(sorted(names))
        }


def _agree(names: frozenset[str], same_at: Callable[[Point], bool]) -> bool:
    compared = 0
    for point in _points(names):
        try:
            if not same_at(point):
                return False
            compared += 1
            if compared == PLENTY:
                return True
        except Undefined:
            continue
    return compared >= (ENOUGH if names else 1)


def _same_at(a: Node, b: Node, point: Point) -> bool:
    try:
        return exact(a, point) == exact(b, point)
    except NotRational:
        pass
    first = _difference(a, b, point, DIGITS)
    if first.apart:
        return False
    digits = DIGITS + 2 * first.range + _written(a) + _written(b)
    if digits > MAX_DIGITS:
        raise OverLimit(f"{digits} digits")
    return not _difference(a, b, point, digits).apart


class _Difference(NamedTuple):
    apart: bool
    range: int


def _difference(a: Node, b: Node, point: Point, digits: int) -> _Difference:
    """Do the sides differ by more than rounding explains?"""
    numeric = Numeric(digits, complex_numbers=_is_complex(a) or _is_complex(b))
    left, right = numeric.value(a, point), numeric.value(b, point)
    with mp.workdps(digits):
        bound = numeric.largest * mpf(10) ** (12 - digits)
        return _Difference(abs(left - right) > bound, numeric.range)


def _written(node: Node) -> int:
    """The digits that its numbers are written with."""
    numbers = [Fraction(part.value) for part in walk(node) if part.kind == "number"]
    bits = sum(n.numerator.bit_length() + n.denominator.bit_length() for n in numbers)
    return bits * 3 // 10


def _is_complex(node: Node) -> bool:
    return any(part == Node("constant", "i") for part in walk(node))


def _value_at(node: Node, point: Point) -> Any:
    try:
        return exact(node, point)
    except Undefined:
        return None
    except NotRational:
        pass
    try:
        return Numeric(DIGITS, complex_numbers=_is_complex(node)).value(node, point)
    except Undefined:
        return None


def _sign(node: Node, point: Point) -> int:
    """The sign at a point; 0 as well where there is none."""
    value = _value_at(node, point)
    if value is None or abs(value) < 1e-20 or getattr(value, "imag", 0) != 0:
        return 0
    return 1 if value > 0 else -1


def _at(node: Node, point: Point) -> Node:
    """The node with numbers for letters."""
    if node.kind == "symbol":
        return number(point[node.name])
    return node._replace(parts=tuple(_at(part, point) for part in node.parts))
