"""How long runs go on before an event: survival curves, the log-rank test, and Cox's hazard ratio.

A run without the event is censored: all that is known is that it lasted at least so long. The unit
is the training run. statsmodels computes everything; it is imported when a function needs it.
"""

from collections.abc import Mapping, Sequence
from math import exp, isfinite
from typing import NamedTuple

import numpy as np

from mssr_rl.stats.intervals import Interval


class Lifetime(NamedTuple):
    """How long one run lasted, and whether the event ended its life; if not, it is censored."""

    updates: int  # optimiser updates until the event, or until the end of a run without it
    happened: bool


class SurvivalCurve(NamedTuple):
    """The Kaplan-Meier estimate: the share of runs without the event after so many updates."""

    updates: tuple[int, ...]  # at which the event happened in a run
    surviving: tuple[float, ...]  # the share after each of them


def survival_curve(lives: Sequence[Lifetime]) -> SurvivalCurve:
    """Return the Kaplan-Meier curve of some runs; without an event it has no points."""
    if not any(life.happened for life in lives):
        return SurvivalCurve((), ())
    from statsmodels.duration.survfunc import SurvfuncRight

    curve = SurvfuncRight(*_columns(lives))
    return SurvivalCurve(
        tuple(int(time) for time in curve.surv_times),
        tuple(float(share) for share in curve.surv_prob),
    )


def median_lifetime(lives: Sequence[Lifetime]) -> int | None:
    """Return the updates after which half of the runs had the event; None if fewer had it."""
    curve = survival_curve(lives)
    pairs = zip(curve.updates, curve.surviving, strict=True)
    return next((updates for updates, share in pairs if share <= 0.5 + 1e-9), None)


def logrank(groups: Mapping[str, Sequence[Lifetime]]) -> float | None:
    """Return the p-value of the log-rank test that all groups have the same survival curve.

    None if there are fewer than two groups, or no run has the event. The p-value is that of the
    chi-squared limit, and with three to five runs in a group it is only a rough guide.
    """
    lives = [life for group in groups.values() for life in group]
    filled = [name for name, group in groups.items() if group]
    if len(filled) < 2 or not any(life.happened for life in lives):
        return None
    from statsmodels.duration.survfunc import survdiff

    labels = np.repeat(list(groups), [len(group) for group in groups.values()])
    p = float(survdiff(*_columns(lives), labels)[1])
    return p if isfinite(p) else None


def hazard_ratio(lives: Sequence[Lifetime], other: Sequence[Lifetime]) -> Interval | None:
    """Return Cox's hazard ratio of `lives` against `other`, with its 95 % interval (Wald).

    Above 1, the event comes sooner in `lives`. Ties are handled by Efron's method. None if one of
    the two has no event, because the ratio is then 0 or infinite.
    """
    if not all(any(life.happened for life in group) for group in (lives, other)):
        return None
    from statsmodels.duration.hazard_regression import PHReg

    time_N, happened_N = _columns([*lives, *other])
    first_N1 = np.repeat([1.0, 0.0], [len(lives), len(other)])[:, None]
    fit = PHReg(time_N, first_N1, status=happened_N, ties="efron").fit(disp=0)
    values = [float(fit.params[0]), *map(float, fit.conf_int()[0])]
    # Groups whose events do not overlap in time have no finite estimate.
    if not all(isfinite(value) and abs(value) < 10 for value in values[:1]):
        return None
    ratio, low, high = (exp(min(value, 700.0)) for value in values)
    return Interval(ratio, low, high)


def _columns(lives: Sequence[Lifetime]) -> tuple[np.ndarray, np.ndarray]:
    """Return (updates, happened) as arrays of floats and of 0 or 1."""
    times = np.array([life.updates for life in lives], dtype=float)
    return times, np.array([life.happened for life in lives], dtype=int)
