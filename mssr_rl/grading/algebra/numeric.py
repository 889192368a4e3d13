"""Compute the value of an expression at a point to many digits, if `exact` cannot compute it.

Only real numbers are used, unless the imaginary unit occurs. An even root of a negative number has
no value. The functions are in `functions`.
"""

import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import mpmath
from mpmath import mp

from mssr_rl.grading.algebra.exact import (
    BIG,
    NotRational,
    Point,
    Undefined,
    call,
    chosen,
    indexed,
    operation,
    terms,
)
from mssr_rl.grading.algebra.functions import (
    BY_EXPONENTIALS,
    FUNCTIONS,
    constant,
    divided,
)
from mssr_rl.grading.algebra.tree import Node, Unreadable
from mssr_rl.grading.quantities import OverLimit

MAX_POWER_OF_TEN = 5_000  # largest and smallest real number


class Numeric:
    """Evaluates expressions to `digits` digits, and records how large and small the numbers were.

    `largest` is the exponent of the largest power of two; it bounds the rounding error. `range` is
    the largest power of ten, up or down, that a part had. It decides how many digits are needed to
    tell two expressions apart.
    """

    def __init__(self, digits: int, *, complex_numbers: bool) -> None:
        self.digits, self.complex = digits, complex_numbers
        # Below the size of every number, until the first is seen.
        self.largest, self.range = -(10**6), 0

    def value(self, node: Node, point: Point) -> Any:
        """Return the value as an mpmath number. Raises Undefined if there is none."""
        try:
            with mp.workdps(self.digits):
                return self._real(self._value(node, point))
        except ZeroDivisionError as error:
            raise Undefined("a division by zero") from error

    def _value(self, node: Node, point: Point) -> Any:
        """Return a Fraction if all parts of the node are rational, else an mpmath number."""
        if node.kind == "number":
            return self._real_seen(Fraction(node.value))
        if node.kind == "symbol":
            return point[node.name]
        if node.kind in _SPECIAL:
            return _SPECIAL[node.kind](self, node, point)
        if node.kind not in _OPERATIONS and node.kind not in ("power", "call"):
            raise Unreadable(f"a {node.kind} inside an expression")
        values = [self._value(part, point) for part in node.parts]
        if all(isinstance(value, Fraction) for value in values):
            try:
                return self._real_seen(self._rational(node, values))
            except NotRational:
                pass
        return self._checked(self._irrational(node, values))

    def _rational(self, node: Node, values: list[Fraction]) -> Fraction:
        if node.kind == "call":
            return call(node.name, values)
        return operation(node.kind, values)

    def _real_seen(self, value: Fraction) -> Fraction:
        """Return the fraction unchanged, and record its size."""
        if value:
            self._note(value.numerator.bit_length() - value.denominator.bit_length() + 1)
        return value

    def _real(self, value: Any) -> Any:
        if not isinstance(value, Fraction):
            return value
        return self._checked(mpmath.mpf(value.numerator) / value.denominator)

    def _irrational(self, node: Node, values: list[Any]) -> Any:
        if node.kind == "call":
            return self._call(node, values)
        if node.kind == "power":
            base = self._real(values[0])
            if isinstance(values[1], Fraction):
                return self._root(base, values[1])
            return self._raised(base, values[1])
        return _OPERATIONS[node.kind]([self._real(value) for value in values])

    def _root(self, base: Any, exponent: Fraction) -> Any:
        """Return base ^ (p/q); for a negative base and an odd q it is the real root."""
        if not self.complex and base < 0 and exponent.denominator % 2 and exponent.denominator > 1:
            sign = -1 if exponent.numerator % 2 else 1
            return sign * self._raised(-base, self._real(exponent))
        return self._raised(base, self._real(exponent))

    def _raised(self, base: Any, exponent: Any) -> Any:
        if base == 0:
            if not self.complex and exponent > 0:
                return base
            raise Undefined("a power of zero")
        if not self.complex and base < 0 and exponent != mpmath.floor(exponent):
            raise Undefined("a root of a negative number")
        if abs(exponent) * abs(mpmath.log(abs(base), 10)) > MAX_POWER_OF_TEN:
            raise OverLimit("a power")
        return mpmath.power(base, exponent)

    def _call(self, node: Node, values: list[Any]) -> Any:
        name = node.name
        if name == "root":
            index = values[1]
            if not isinstance(index, Fraction) or index <= 0 or index.denominator != 1:
                raise Undefined("an index that is not a whole number")
            return self._root(self._real(values[0]), 1 / index)
        reals = [self._real(value) for value in values]
        if name == "exp":
            return self._raised(mpmath.e, reals[0])
        if name in BY_EXPONENTIALS:
            up, down = (self._checked(self._raised(mpmath.e, x)) for x in (reals[0], -reals[0]))
            return BY_EXPONENTIALS[name](up, down)
        if name not in FUNCTIONS or (self.complex and name in _ORDERED):
            raise Unreadable(name)
        return FUNCTIONS[name](*reals)

    def _big(self, node: Node, point: Point) -> Any:
        values = [self._value(term, at) for term, at in terms(node, point)]
        if all(isinstance(value, Fraction) for value in values):
            return self._real_seen(operation(BIG[node.name], values))
        return self._checked(_OPERATIONS[BIG[node.name]]([self._real(v) for v in values]))

    def _piece(self, node: Node, point: Point) -> Any:
        return self._value(chosen(node, point, self._holds), point)

    def _holds(self, condition: Node, point: Point) -> bool:
        """Return whether a condition is true at the point."""
        if condition.kind == "list":
            each = (self._holds(part, point) for part in condition.parts)
            return any(each) if condition.name == "or" else all(each)
        values = [self._real(self._value(part, point)) for part in condition.parts]
        signs = condition.name.split()
        if condition.kind != "relation" or not set(signs) <= set(_HOLDS):
            raise Unreadable("a condition")
        pairs = zip(signs, values, values[1:], strict=False)
        return all(_HOLDS[sign](left, right) for sign, left, right in pairs)

    def _checked(self, value: Any) -> Any:
        if value:
            bits = mpmath.mag(value)
            # For infinity and NaN, mpmath gives no integer here.
            if not isinstance(bits, int):
                raise Undefined("no finite value")
            self._note(bits)
        return value

    def _note(self, bits: int) -> None:
        """Record that a part had the size 2^bits.

        Raises OverLimit if that is too large or small.
        """
        order = abs(bits) * 3 // 10  # powers of two to powers of ten
        if order > 2 * MAX_POWER_OF_TEN:
            raise OverLimit("a number")
        self.range, self.largest = max(self.range, order), max(self.largest, bits)

    def error(self) -> Any:
        """Return a bound on the rounding error, with a margin of at least ten digits."""
        return mpmath.ldexp(mpmath.mpf(10) ** (12 - self.digits), self.largest)


_ORDERED = frozenset({"max", "min", "floor", "ceiling", "factorial", "binomial", "arcsin"})
_HOLDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_SPECIAL: Mapping[str, Callable[[Numeric, Node, Point], Any]] = {
    "constant": lambda self, node, _: self._checked(constant(node.name)),
    "indexed": lambda self, node, point: self._real_seen(indexed(node, point)),
    "big": lambda self, node, point: self._big(node, point),
    "piecewise": lambda self, node, point: self._piece(node, point),
}
_OPERATIONS: Mapping[str, Callable[[list[Any]], Any]] = {
    "sum": mpmath.fsum,
    "product": mpmath.fprod,
    "quotient": lambda values: divided(*values),
    "negative": lambda values: -values[0],
    "angle": lambda values: values[0],
}
