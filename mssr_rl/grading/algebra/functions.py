"""The functions of real numbers that an answer may use, computed by mpmath.

Undefined is raised where a function has no value.
"""

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
from mpmath import mp

from mssr_rl.grading.algebra.exact import MAX_FACTORIAL, Undefined


def constant(name: str) -> Any:
    """Return pi, e or the imaginary unit at the current precision."""
    if name == "i":
        return mpmath.mpc(0, 1)
    if name == "infinity":
        raise Undefined(name)
    # The plus gives a number of the current precision; mpmath's constants have none of their own.
    return +mpmath.e if name == "e" else +mpmath.pi


def divided(top: Any, bottom: Any) -> Any:
    """Return a quotient. Raises Undefined if the divisor is zero up to rounding."""
    if abs(bottom) < mpmath.mpf(10) ** (15 - mp.dps):
        raise Undefined("a division by zero")
    return top / bottom


def _log(value: Any, base: Any = None) -> Any:
    if value == 0 or (mpmath.im(value) == 0 and value < 0):
        raise Undefined("a logarithm of no positive number")
    if base is None:
        return mpmath.log(value)
    if base <= 0 or base == 1:
        raise Undefined("a logarithm to this base")
    return divided(mpmath.log(value), mpmath.log(base))


def _within_one(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if abs(value) > 1:
            raise Undefined("outside of -1 to 1")
        return function(value)

    return checked


def _one_over(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: divided(mpmath.mpf(1), function(value))


def _gamma(value: Any) -> Any:
    if value <= -1 or abs(value) > MAX_FACTORIAL:
        raise Undefined("a factorial of this number")
    return mpmath.gamma(value + 1)


def _tan(value: Any) -> Any:
    return divided(mpmath.sin(value), mpmath.cos(value))


def _from_one_up(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if mpmath.im(value) == 0 and abs(value) < 1:
            raise Undefined("between -1 and 1")
        return function(value)

    return checked


def _inside_one(value: Any) -> Any:
    if abs(value) >= 1:
        raise Undefined("outside of -1 to 1")
    return mpmath.atanh(value)


def _arccosh(value: Any) -> Any:
    if mpmath.im(value) == 0 and value < 1:
        raise Undefined("below 1")
    return mpmath.acosh(value)


# These are computed from exponentials, so that the caller sees how large these are: tanh 50
# differs from 1 by e^-100 only.
BY_EXPONENTIALS: Mapping[str, Callable[[Any, Any], Any]] = {
    "sinh": lambda up, down: (up - down) / 2,
    "cosh": lambda up, down: (up + down) / 2,
    "tanh": lambda up, down: (up - down) / (up + down),
    "coth": lambda up, down: divided(up + down, up - down),
    "sech": lambda up, down: 2 / (up + down),
    "csch": lambda up, down: divided(mpmath.mpf(2), up - down),
}
FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "tan": _tan,
    "sec": _one_over(mpmath.cos),
    "csc": _one_over(mpmath.sin),
    "cot": _one_over(_tan),
    "arcsin": _within_one(mpmath.asin),
    "arccos": _within_one(mpmath.acos),
    "arctan": mpmath.atan,
    # From 0 to pi, without the jump at 0 that arctan(1/x) has.
    "arccot": lambda value: mpmath.pi / 2 - mpmath.atan(value),
    "arcsec": _from_one_up(mpmath.asec),
    "arccsc": _from_one_up(mpmath.acsc),
    "arcsinh": mpmath.asinh,
    "arccosh": _arccosh,
    "arctanh": _inside_one,
    "ln": _log,
    "log": lambda value, base=10: _log(value, base),
    "abs": abs,
    "sgn": mpmath.sign,
    "max": max,
    "min": min,
    "floor": mpmath.floor,
    "ceiling": mpmath.ceil,
    "factorial": _gamma,
    "binomial": lambda n, k: _gamma(n) / (_gamma(k) * _gamma(n - k)),
}
