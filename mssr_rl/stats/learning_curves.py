"""Learning curves over a budget: the area under the curve, and the budget to reach a target.

A curve holds one run's accuracy at several amounts of spent budget, in any unit of
`mssr_rl.budget`. The area is divided by the budget range. So it is a mean accuracy, and
`compare_values` accepts it. A run that never reached the target is kept as a censored observation.
Without it, the arm would gain from this run's failure.
"""

from collections.abc import Mapping, Sequence
from math import comb
from typing import NamedTuple

import numpy as np
from scipy import stats

from mssr_rl.errors import UserError


class Curve(NamedTuple):
    """The evaluations of one run: its accuracies, and the budget spent at each of them."""

    budget: Sequence[float]  # strictly increasing
    accuracy: Sequence[float]  # one per budget mark


class Reached(NamedTuple):
    """The budget at which a run first reached the target, and whether it did."""

    budget: float  # the run's last budget mark if it did not reach the target
    reached: bool


class Race(NamedTuple):
    """The test of which of two arms reaches a target with less budget."""

    a: tuple[Reached, ...]
    b: tuple[Reached, ...]
    p: float | None  # log-rank test; None if no run reached the target, or all at the same budget
    floor: float  # the smallest p of a permutation test with so many runs


def area(curve: Curve, until: float | None = None) -> float:
    """Return the mean accuracy from the first evaluation to the budget `until`.

    By default `until` is the budget of the last evaluation. Raise `UserError` if it lies outside
    the curve.
    """
    budget, accuracy = _arrays(curve)
    end = float(budget[-1]) if until is None else until
    if not budget[0] < end <= budget[-1]:
        raise UserError(
            f"the curve runs from {budget[0]:g} to {budget[-1]:g}, its area until {end:g} is not "
            "known; compare up to the last mark that all arms reached"
        )
    inside = budget < end
    x = np.append(budget[inside], end)
    # The end is interpolated: arms with other marks are read up to the same budget.
    y = np.append(accuracy[inside], np.interp(end, budget, accuracy))
    return float(np.trapezoid(y, x) / (end - budget[0]))


def budget_to(curve: Curve, target: float) -> Reached:
    """Return the budget at which the curve first reaches `target`, by linear interpolation.

    If it never does, `reached` of the result is False.
    """
    budget, accuracy = _arrays(curve)
    there = np.flatnonzero(accuracy >= target)
    if not len(there):
        return Reached(float(budget[-1]), reached=False)
    i = int(there[0])
    if i == 0:
        return Reached(float(budget[0]), reached=True)
    share = (target - accuracy[i - 1]) / (accuracy[i] - accuracy[i - 1])
    return Reached(float(budget[i - 1] + share * (budget[i] - budget[i - 1])), reached=True)


def race_to(a: Sequence[Curve], b: Sequence[Curve], target: float) -> Race:
    """Return the budget to the target of every run, and the log-rank test between the arms.

    The p-value is an approximation for many runs. If the arms are equal, every split of the runs
    between them is equally likely. So an exact permutation test cannot give a p below `floor` (0.1
    at three runs each, 0.008 at five). A smaller p comes only from the approximation.
    """
    arms = [tuple(budget_to(curve, target) for curve in curves) for curves in (a, b)]
    floor = (1 + (len(a) == len(b))) / comb(len(a) + len(b), len(a))
    times = {run.budget for arm in arms for run in arm}
    if len(times) < 2 or not any(run.reached for arm in arms for run in arm):
        return Race(arms[0], arms[1], None, floor)
    samples = [
        stats.CensoredData.right_censored(
            [run.budget for run in arm], [not run.reached for run in arm]
        )
        for arm in arms
    ]
    return Race(arms[0], arms[1], float(stats.logrank(*samples).pvalue), floor)


def common_mark(curves: Mapping[str, Sequence[Curve]]) -> float:
    """Return the largest budget up to which every run of every arm was evaluated."""
    return min(float(curve.budget[-1]) for runs in curves.values() for curve in runs)


def _arrays(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    budget, accuracy = np.asarray(curve.budget, float), np.asarray(curve.accuracy, float)
    if len(budget) != len(accuracy) or not len(budget) or (np.diff(budget) <= 0).any():
        raise UserError(
            "a learning curve needs one accuracy for every budget mark, and the marks must increase"
        )
    return budget, accuracy
