"""Compute operations on rational numbers exactly, as Fractions, or raise NotRational.

Sizes are checked before anything is expanded. OverLimit is raised if a number would be too large.
`numeric` evaluates expressions, and computes what is not rational.
"""

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from mssr_rl.grading.quantities import OverLimit

MAX_BITS = 40_000  # of numerator and denominator: integers of 12,000 digits
MAX_ROOT_BITS = 2_048  # of a number whose exact root is searched
MAX_FACTORIAL = 2_000


class NotRational(Exception):
    """Raised if the value is not rational, or if rational arithmetic cannot find it."""


class Undefined(Exception):
    """Raised if there is no value: a division by zero, or an even root of a negative number."""


def power(base: Fraction, exponent: Fraction) -> Fraction:
    """Return base ^ exponent as a Fraction, or raise NotRational.

    An odd root of a negative base is the real root.
    """
    if exponent.denominator != 1:
        return power(_exact_root(base, exponent.denominator), Fraction(exponent.numerator))
    if base == 0 and exponent <= 0:
        raise Undefined("0^0" if exponent == 0 else "1/0")
    size = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) != 1 and base != 0 and size * abs(exponent) > MAX_BITS:
        raise OverLimit("a power")
    # Powers of 1 and -1 do not grow, so their exponents have no limit.
    return base ** int(exponent % 2 if abs(base) == 1 else exponent)


def _exact_root(base: Fraction, index: int) -> Fraction:
    if base < 0 and index % 2 == 0:
        # Not Undefined: with complex numbers `numeric` has a value for it.
        raise NotRational("a root of a negative number")
    if index > 64:
        raise NotRational("a high root")
    sign = -1 if base < 0 else 1
    top, bottom = _whole_root(abs(base.numerator), index), _whole_root(base.denominator, index)
    return sign * Fraction(top, bottom)


def _whole_root(n: int, index: int) -> int:
    if n.bit_length() > MAX_ROOT_BITS:
        raise NotRational("a root of a long number")
    # By bisection of integers, because a float has too few digits for a long number.
    low, high = 0, 1 << (n.bit_length() // index + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**index < n else (low, middle)
    if low**index != n:
        raise NotRational("an irrational root")
    return low


def operation(kind: str, values: list[Fraction]) -> Fraction:
    """Return the sum, product, quotient, negative or power of rational numbers."""
    return _held(OPERATIONS[kind](values))


def call(name: str, values: list[Fraction]) -> Fraction:
    """Return the value of a function of rational numbers, or raise NotRational."""
    if name == "root":
        if values[1] <= 0 or values[1].denominator != 1:
            raise NotRational("an odd index")
        return power(values[0], 1 / values[1])
    if name in _OF_RATIONALS:
        return _OF_RATIONALS[name](values)
    whole = all(v.denominator == 1 for v in values)
    if name not in _OF_INTEGERS or not whole or min(values) < 0:
        raise NotRational(name)
    if name in ("factorial", "binomial") and values[0] > MAX_FACTORIAL:
        raise OverLimit(f"a {name}")
    return Fraction(_OF_INTEGERS[name](*map(int, values)))


def _modulo(values: list[Fraction]) -> Fraction:
    if values[1] == 0:
        raise Undefined("modulo zero")
    return values[0] % values[1]


_OF_RATIONALS: Mapping[str, Callable[[list[Fraction]], Fraction]] = {
    "abs": lambda values: abs(values[0]),
    "floor": lambda values: Fraction(math.floor(values[0])),
    "ceiling": lambda values: Fraction(math.ceil(values[0])),
    "sgn": lambda values: Fraction((values[0] > 0) - (values[0] < 0)),
    "max": max,
    "min": min,
    "mod": _modulo,
}
_OF_INTEGERS: Mapping[str, Callable[..., int]] = {
    "factorial": math.factorial,
    "binomial": math.comb,
    "gcd": math.gcd,
    "lcm": math.lcm,
}


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
