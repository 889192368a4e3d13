"""Fit growth exponents: the slope of log cost over log size, by least squares. Pure."""

from collections.abc import Sequence
from math import log

from mssr_rl.errors import UserError


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the k of cost = c * size^k: 0 is constant, 1 proportional, 2 quadratic.

    Raise UserError if the numbers of sizes and costs differ, if there is only one size, or if a
    value is not above 0.
    """
    if len(sizes) != len(costs) or len(set(sizes)) < 2:
        raise UserError("an exponent takes as many costs as sizes, and two different sizes")
    if min(*sizes, *costs) <= 0:
        raise UserError("an exponent takes sizes and costs above 0")
    xs, ys = [log(size) for size in sizes], [log(cost) for cost in costs]
    x_mean, y_mean = sum(xs) / len(xs), sum(ys) / len(ys)
    covariance = sum((x - x_mean) * (y - y_mean) for x, y in zip(xs, ys, strict=True))
    return covariance / sum((x - x_mean) ** 2 for x in xs)
