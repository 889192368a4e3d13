"""Functions of real numbers that an answer may name, by mpmath; else `Undefined`."""

from collections.abc import Callable, Mapping
from typing import Any

import mpmath
from mpmath import mp

from mssr_rl.grading.algebra.exact import MAX_FACTORIAL, Undefined


def constant(name: str) -> Any:
    """pi, e or the imaginary unit to the digits that are set."""
    if name == "i":
        return mpmath.mpc(0, 1)
    if name == "infinity":
        raise Undefined(name)
    return +mpmath.e if name == "e" else +mpmath.pi


def divided(top: Any, bottom: Any) -> Any:
    """A quotient; what is zero but for rounding counts as zero."""
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


OF_ANGLES = frozenset({"sin", "cos", "tan", "sec", "csc", "cot"})
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
    "sinh": mpmath.sinh,
    "cosh": mpmath.cosh,
    "tanh": mpmath.tanh,
    "exp": mpmath.exp,
    "ln": _log,
    "log": lambda value, base=10: _log(value, base),
    "abs": abs,
    "floor": mpmath.floor,
    "ceiling": mpmath.ceil,
    "factorial": _gamma,
    "binomial": lambda n, k: _gamma(n) / (_gamma(k) * _gamma(n - k)),
}
