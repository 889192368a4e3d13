"""The exact value of an expression at a point: a Fraction, or `NotRational`.

Sizes are looked at before anything is expanded: what would be too large is an `OverLimit`.
`numeric` evaluates the rest.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from mssr_rl.grading.algebra.tree import Node
from mssr_rl.grading.quantities import OverLimit

MAX_BITS = 40_000  # of numerator and denominator: integers of 12,000 digits
MAX_ROOT_BITS = 2_048  # whose exact root is looked for
MAX_FACTORIAL = 2_000

Point = Mapping[str, Fraction]


class NotRational(Exception):
    """The value is no rational number, or cannot be found by rational arithmetic."""


class Undefined(Exception):
    """There is no value: a division by zero, an even root of a negative number."""


def exact(node: Node, point: Point) -> Fraction:
    """The rational value of the node, all letters replaced."""
    if node.kind == "number":
        return Fraction(node.value)
    if node.kind == "symbol":
        return point[node.name]
    if node.kind not in OPERATIONS and node.kind != "call":
        raise NotRational(node.kind)
    values = [exact(part, point) for part in node.parts]
    if node.kind == "call":
        return call(node.name, values)
    return operation(node.kind, values)


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """Base ^ exponent where it is rational; the real root of a negative base if that exists."""
    if exponent.denominator != 1:
        return power(_exact_root(base, exponent.denominator), Fraction(exponent.numerator))
    if base == 0 and exponent <= 0:
        raise Undefined("0^0" if exponent == 0 else "1/0")
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) != 1 and base != 0 and size * abs(exponent) > MAX_BITS:
        raise OverLimit("a power")
    return base ** int(exponent % 2 if abs(base) == 1 else exponent)


def _exact_root(base: Fraction, index: int) -> Fraction:
    if base < 0 and index % 2 == 0:
        raise NotRational("a root of a negative number")
    if index > 64:
        raise NotRational("a high root")
    sign = -1 if base < 0 else 1
    top, bottom = _whole_root(abs(base.numerator), index), _whole_root(base.denominator, index)
    return sign * Fraction(top, bottom)


def _whole_root(n: int, index: int) -> int:
    if n.bit_length() > MAX_ROOT_BITS:
        raise NotRational("a root of a long number")
    low, high = 0, 1 << (n.bit_length() // index + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**index < n else (low, middle)
    if low**index != n:
        raise NotRational("an irrational root")
    return low


def operation(kind: str, values: list[Fraction]) -> Fraction:
    """A sum, product, quotient, negative or power of rational numbers."""
    return _held(OPERATIONS[kind](values))


def call(name: str, values: list[Fraction]) -> Fraction:
    """A function of rational numbers, where its value is rational."""
    if name == "root":
        if values[1] <= 0 or values[1].denominator != 1:
            raise NotRational("an odd index")
        return power(values[0], 1 / values[1])
    if name == "abs":
        return abs(values[0])
    if name in ("floor", "ceiling"):
        return Fraction(math.floor(values[0]) if name == "floor" else math.ceil(values[0]))
    whole = all(v.denominator == 1 for v in values)
    if name == "factorial" and whole and values[0] >= 0:
        if values[0] > MAX_FACTORIAL:
            raise OverLimit("a factorial")
        return Fraction(math.factorial(int(values[0])))
    if name == "binomial" and whole and values[0] >= 0 and values[1] >= 0:
        if values[0] > MAX_FACTORIAL:
            raise OverLimit("a binomial")
        return Fraction(math.comb(int(values[0]), int(values[1])))
    raise NotRational(name)


def _over(top: Fraction, bottom: Fraction) -> Fraction:
    if bottom == 0:
        raise Undefined("a division by zero")
    return top / bottom


def _product(values: list[Fraction]) -> Fraction:
    product = Fraction(1)
    for value in values:
        product = _held(product * value)
    return product


def _held(value: Fraction) -> Fraction:
    if value.numerator.bit_length() + value.denominator.bit_length() > 2 * MAX_BITS:
        raise OverLimit("a number")
    return value


OPERATIONS: Mapping[str, Callable[[list[Fraction]], Fraction]] = {
    "sum": lambda values: sum(values, Fraction(0)),
    "product": _product,
    "quotient": lambda values: _over(*values),
    "negative": lambda values: -values[0],
    "angle": lambda values: values[0],
    "power": lambda values: power(*values),
}
