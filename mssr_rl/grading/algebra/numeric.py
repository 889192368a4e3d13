"""The value of an expression at a point to many digits, where `exact` has none.

Real numbers only (an even root of a negative number has no value) unless the imaginary unit
occurs; functions are in `functions`.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import mpmath
from mpmath import mp

from mssr_rl.grading.algebra.exact import NotRational, Point, Undefined, exact
from mssr_rl.grading.algebra.functions import FUNCTIONS, OF_ANGLES, constant, divided
from mssr_rl.grading.algebra.tree import Node, Unreadable
from mssr_rl.grading.quantities import OverLimit

MAX_POWER_OF_TEN = 5_000  # largest and smallest real number


class Numeric:
    """Evaluates to `digits` significant digits and remembers how large and small it got.

    `largest` bounds the rounding error, and `range` is the span in powers of ten within which
    parts of the sum may hide: both decide how many digits tell two expressions apart.
    """

    def __init__(self, digits: int, *, complex_numbers: bool) -> None:
        self.digits, self.complex = digits, complex_numbers
        self.largest, self.range = mpmath.mpf(0), 0

    def value(self, node: Node, point: Point) -> Any:
        """The mpmath number; `Undefined` where there is none."""
        try:
            with mp.workdps(self.digits):
                return self._value(node, point)
        except ZeroDivisionError as error:
            raise Undefined("a division by zero") from error

    def _value(self, node: Node, point: Point) -> Any:
        try:
            value = self._real(exact(node, point))
        except NotRational:
            value = self._checked(self._irrational(node, point))
        return value

    def _real(self, value: Fraction) -> Any:
        return self._checked(mpmath.mpf(value.numerator) / value.denominator)

    def _irrational(self, node: Node, point: Point) -> Any:
        kind, parts = node.kind, node.parts
        if kind == "constant":
            return constant(node.name)
        if kind == "power":
            return self._power(parts[0], parts[1], point)
        if kind == "call":
            return self._call(node, point)
        if kind not in _OPERATIONS:
            raise Unreadable(f"a {kind} inside an expression")
        return _OPERATIONS[kind]([self._value(part, point) for part in parts])

    def _power(self, base_node: Node, exponent_node: Node, point: Point) -> Any:
        base = self._value(base_node, point)
        try:
            exponent = exact(exponent_node, point)
        except NotRational:
            return self._raised(base, self._value(exponent_node, point))
        return self._root(base, exponent)

    def _root(self, base: Any, exponent: Fraction) -> Any:
        """Base ^ (p/q), real for a negative base if q is odd."""
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

    def _call(self, node: Node, point: Point) -> Any:
        name, parts = node.name, node.parts
        if name == "root":
            try:
                index = exact(parts[1], point)
            except NotRational as error:
                raise Undefined("an index that is no whole number") from error
            if index <= 0 or index.denominator != 1:
                raise Undefined("an index that is no whole number")
            return self._root(self._value(parts[0], point), 1 / index)
        if name not in FUNCTIONS:
            raise Unreadable(name)
        values = [self._value(part, point) for part in parts]
        if name in OF_ANGLES and parts[0].kind != "number" and _in_degrees(parts[0]):
            values[0] *= mpmath.pi / 180
        if name == "exp":
            return self._raised(mpmath.e, values[0])
        return FUNCTIONS[name](*values)

    def _checked(self, value: Any) -> Any:
        if mpmath.isnan(value) or mpmath.isinf(value):
            raise Undefined("no finite value")
        size = abs(value)
        if size:
            order = abs(int(mpmath.floor(mpmath.log(size, 10))))
            if order > 2 * MAX_POWER_OF_TEN:
                raise OverLimit("a number")
            self.range = max(self.range, order)
        self.largest = max(self.largest, size)
        return value


def _in_degrees(node: Node) -> bool:
    return node.kind == "angle" or any(_in_degrees(part) for part in node.parts)


_OPERATIONS: Mapping[str, Callable[[list[Any]], Any]] = {
    "sum": mpmath.fsum,
    "product": mpmath.fprod,
    "quotient": lambda values: divided(*values),
    "negative": lambda values: -values[0],
    "angle": lambda values: values[0],
}
