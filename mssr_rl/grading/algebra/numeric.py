"""Compute the value of an expression at a point: exactly if it is rational, else to many digits.

Only real numbers are used, unless the imaginary unit occurs. An even root of a negative number has
no value. The functions are in `functions`.
"""

import operator
import zlib
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

import mpmath
from mpmath import mp

from mssr_rl.grading.algebra.exact import NotRational, Undefined, call, operation
from mssr_rl.grading.algebra.functions import (
    BY_EXPONENTIALS,
    FUNCTIONS,
    constant,
    divided,
)
from mssr_rl.grading.algebra.tree import ALWAYS, Node, Unreadable
from mssr_rl.grading.quantities import OverLimit

DIGITS = 40
MAX_POWER_OF_TEN = 5_000  # largest and smallest real number
MAX_TERMS = 400  # of a finite sum or product
_BIG = {"sum": "sum", "prod": "product"}

Point = Mapping[str, Fraction]


def exact(node: Node, point: Point) -> Fraction:
    """Return the rational value of a node. Raises NotRational if it has none."""
    value = Numeric(DIGITS, complex_numbers=False).value(node, point)
    if not isinstance(value, Fraction):
        raise NotRational(node.kind)
    return value


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
        """Return a Fraction or an mpmath number. Raises Undefined if there is no value."""
        try:
            if mp.dps == self.digits:  # entering a context costs as much as a small sum
                return self._value(node, point)
            with mp.workdps(self.digits):
                return self._value(node, point)
        except ZeroDivisionError as error:
            raise Undefined("a division by zero") from error

    def _value(self, node: Node, point: Point) -> Any:
        """Return a Fraction if all parts of the node are rational, else an mpmath number."""
        if node.kind == "number":
            written = node.value
            return self._real_seen(written if isinstance(written, Fraction) else Fraction(written))
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

    def real(self, value: Any) -> Any:
        """Return the value as an mpmath number."""
        if not isinstance(value, Fraction):
            return value
        return self._checked(mpmath.mpf(value.numerator) / value.denominator)

    def _irrational(self, node: Node, values: list[Any]) -> Any:
        if node.kind == "call":
            return self._call(node, values)
        if node.kind == "power":
            base = self.real(values[0])
            if isinstance(values[1], Fraction):
                return self._root(base, values[1])
            return self._raised(base, values[1])
        return _OPERATIONS[node.kind]([self.real(value) for value in values])

    def _root(self, base: Any, exponent: Fraction) -> Any:
        """Return base ^ (p/q); for a negative base and an odd q it is the real root."""
        if not self.complex and base < 0 and exponent.denominator % 2 and exponent.denominator > 1:
            sign = -1 if exponent.numerator % 2 else 1
            return sign * self._raised(-base, self.real(exponent))
        return self._raised(base, self.real(exponent))

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
            return self._root(self.real(values[0]), 1 / index)
        reals = [self.real(value) for value in values]
        if name == "exp":
            return self._raised(mpmath.e, reals[0])
        if name in BY_EXPONENTIALS:
            up, down = (self._checked(self._raised(mpmath.e, x)) for x in (reals[0], -reals[0]))
            return BY_EXPONENTIALS[name](up, down)
        if name not in FUNCTIONS or (self.complex and name in _ORDERED):
            raise Unreadable(name)
        return FUNCTIONS[name](*reals)

    def _big(self, node: Node, point: Point) -> Any:
        """Return the value of a finite sum or product."""
        kind, values = _BIG[node.name], [self._value(*at) for at in self._terms(node, point)]
        if all(isinstance(value, Fraction) for value in values):
            return self._real_seen(operation(kind, values))
        return self._checked(_OPERATIONS[kind]([self.real(v) for v in values]))

    def _terms(self, node: Node, point: Point) -> Iterator[tuple[Node, Point]]:
        """Yield the term and the point for each index of a finite sum or product."""
        letter, low, high, term = node.parts
        first, last = (self._whole(end, point) for end in (low, high))
        if last - first > MAX_TERMS:
            raise OverLimit("a long sum")
        for index in range(first, last + 1):
            yield term, {**point, letter.name: Fraction(index)}

    def _whole(self, node: Node, point: Point) -> int:
        value = self._value(node, point)
        if not isinstance(value, Fraction) or value.denominator != 1:
            raise Unreadable("a sum without whole bounds")
        return int(value)

    def _indexed(self, node: Node, point: Point) -> Fraction:
        """Return a number that stands for b_k under a sum; each name and index has its own."""
        index = self._value(node.parts[0], point)
        # Not `hash`, which Python salts anew in every process: a verdict must not change.
        return Fraction(zlib.crc32(f"{node.name} {index}".encode()) % 9973 - 4986, 101)

    def _piece(self, node: Node, point: Point) -> Any:
        """Return the value of the case of a piecewise function whose condition is true."""
        for row in node.parts:
            value, condition = row.parts
            if condition == ALWAYS or self._holds(condition, point):
                return self._value(value, point)
        raise Undefined("no case")

    def _holds(self, condition: Node, point: Point) -> bool:
        """Return whether a condition is true at the point."""
        if condition.kind == "list":
            each = (self._holds(part, point) for part in condition.parts)
            return any(each) if condition.name == "or" else all(each)
        values = [self.real(self._value(part, point)) for part in condition.parts]
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
            if self.range > 2 * MAX_POWER_OF_TEN:
                raise OverLimit("a number")
        return value

    def _note(self, bits: int) -> None:
        """Record that a part had the size 2^bits."""
        order = abs(bits) * 3 // 10  # powers of two to powers of ten
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
    "indexed": lambda self, node, point: self._indexed(node, point),
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
