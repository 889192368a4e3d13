"""The value of an expression at a point to many digits, where `exact` has none.

Real numbers only (an even root of a negative number has no value) unless the imaginary unit
occurs; functions are in `functions`.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import mpmath
from mpmath import mp

from mssr_rl.grading.algebra.exact import NotRational, Point, Undefined, call, operation
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
                return self._real(self._value(node, point))
        except ZeroDivisionError as error:
            raise Undefined("a division by zero") from error

    def _value(self, node: Node, point: Point) -> Any:
        """A Fraction as long as everything below is rational, then an mpmath number."""
        if node.kind == "number":
            return self._real_seen(Fraction(node.value))
        if node.kind == "symbol":
            return point[node.name]
        if node.kind == "constant":
            return self._checked(constant(node.name))
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
        """The fraction itself; how large it is counts."""
        self._real(value)
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

    def _call(self, node: Node, values: list[Any]) -> Any:
        name, parts = node.name, node.parts
        if name == "root":
            index = values[1]
            if not isinstance(index, Fraction) or index <= 0 or index.denominator != 1:
                raise Undefined("an index that is no whole number")
            return self._root(self._real(values[0]), 1 / index)
        if name not in FUNCTIONS:
            raise Unreadable(name)
        reals = [self._real(value) for value in values]
        if name in OF_ANGLES and _in_degrees(parts[0]):
            reals[0] *= mpmath.pi / 180
        if name == "exp":
            return self._raised(mpmath.e, reals[0])
        return FUNCTIONS[name](*reals)

    def _checked(self, value: Any) -> Any:
        if mpmath.isnan(value) or mpmath.isinf(value):
            raise Undefined("no finite value")
        if value:
            order = abs(int(mpmath.mag(value))) * 3 // 10  # powers of two to powers of ten
            if order > 2 * MAX_POWER_OF_TEN:
                raise OverLimit("a number")
            self.range = max(self.range, order)
            self.largest = max(self.largest, abs(value))
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
