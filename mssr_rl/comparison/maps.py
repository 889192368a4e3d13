"""The maps of a comparison that sweeps two keys or more: where runs collapse, and their accuracy.

    two numeric keys         a map: one key across, one down, a cell for each pair of values
    more keys                small multiples: a map for each combination of the other keys
    design=screening         no maps, but the main effect of each key

A run collapsed if it has an outcome of `stability.onsets`. Every cell names its runs that are
missing, because they failed or have not ended. The section of report.json has a version of its own;
a comparison without swept keys has no such section. Pure functions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isfinite
from typing import Any, Literal

import msgspec
import numpy as np

from mssr_rl.comparison.accuracy import mean_right, split_of
from mssr_rl.comparison.columns import NumberWithInterval
from mssr_rl.comparison.evidence import ComparedRun, Evidence
from mssr_rl.comparison.health import events
from mssr_rl.stability.onsets import ANY, onsets
from mssr_rl.stats.survival import Lifetime

VERSION = 1


@dataclass(frozen=True)
class MapCell:
    """The runs of one arm on one environment."""

    arm: str
    env: str
    values: dict[str, str]  # of the swept keys
    accuracy: float | None  # mean over seeds of the final greedy accuracy
    runs: int  # that ended by themselves
    collapsed: dict[str, int]  # outcome -> runs that have it
    missing: tuple[str, ...]  # runs that failed or have not ended


@dataclass(frozen=True)
class OutcomeMap:
    """One map: the cells of a group of arms, by the values of two keys."""

    env: str
    group: str  # the arms without the swept keys, such as "mssr"
    others: dict[str, str]  # the values of the keys that are not axes
    across: str
    down: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    arms: tuple[tuple[str | None, ...], ...]  # by row and column; None: no such arm


@dataclass(frozen=True)
class MainEffect:
    """The effect of one key in a screening: the mean at its second value minus at its first.

    Ordinary least squares over runs, with all keys at once. For collapses, 1 is a run that
    collapsed, so the effect is a difference of shares.
    """

    env: str
    group: str
    key: str
    values: tuple[str, str]
    accuracy: NumberWithInterval
    collapsed: NumberWithInterval


@dataclass(frozen=True)
class MapSection:
    """The part of the report about swept keys."""

    version: int
    design: str
    cells: tuple[MapCell, ...]
    maps: tuple[OutcomeMap, ...]
    effects: tuple[MainEffect, ...]


def section(evidence: Evidence) -> MapSection | msgspec.UnsetType:
    """Return the maps of a comparison; UNSET if it has none."""
    swept = evidence.compare.get("swept")
    if swept is None:
        return msgspec.UNSET
    design: Literal["grid", "screening"] = swept["design"]
    envs, arms = evidence.compare["envs"], swept["arms"]
    maps: tuple[OutcomeMap, ...] = ()
    effects: tuple[MainEffect, ...] = ()
    for env in envs:
        for group, members in _groups(arms).items():
            if design == "grid":
                maps += tuple(outcome_maps(env, group, members))
            else:
                runs = [run for run in evidence.on(env) if run.arm in members]
                effects += tuple(_effects(env, group, members, runs))
    if design == "grid" and not maps:
        return msgspec.UNSET
    cells = tuple(_cell(evidence, env, arm, arms[arm]["values"]) for env in envs for arm in arms)
    return MapSection(VERSION, design, cells, maps, effects)


def lives_of(run: ComparedRun) -> dict[str, Lifetime]:
    """Return {outcome: updates until it} of a run (`stability.onsets`)."""
    planned = run.files.run.get("steps") if run.files else None
    broken = any(event.get("event") == "non_finite" for event in events(run))
    steps = planned if isinstance(planned, int) and planned > 0 else len(run.metrics)
    return onsets(steps, run.metrics, run.evaluations, broken=broken)


def _groups(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Mapping[str, str]]]:
    """Return {group: {arm: values of its swept keys}}."""
    groups: dict[str, dict[str, Mapping[str, str]]] = {}
    for arm, one in arms.items():
        groups.setdefault(one["group"], {})[arm] = one["values"]
    return groups


def _cell(evidence: Evidence, env: str, arm: str, values: Mapping[str, str]) -> MapCell:
    on = evidence.on(env)
    split = split_of(on)
    mine = [run for run in on if run.arm == arm]
    ended = [run for run in mine if run.counts]
    lives = [lives_of(run) for run in ended]
    accuracies = [a for run in ended if (a := mean_right(run.last(split))) is not None]
    return MapCell(
        arm,
        env,
        dict(values),
        sum(accuracies) / len(accuracies) if accuracies else None,
        len(ended),
        {name: sum(one[name].happened for one in lives) for name in lives[0]} if lives else {},
        tuple(run.name for run in mine if not run.counts),
    )


# ---- maps ----


def outcome_maps(
    env: str, group: str, arms: Mapping[str, Mapping[str, str]]
) -> Iterator[OutcomeMap]:
    """Yield the maps of a group: one, or small multiples; none without two numeric keys."""
    values = _values(arms)
    numeric = [key for key, some in values.items() if all(map(_is_number, some))]
    if len(numeric) < 2:
        return
    # The two numeric keys with the most values are the axes; of equals, the first ones.
    across, down = sorted(numeric, key=lambda key: -len(values[key]))[:2]
    others = [key for key in values if key not in (across, down)]
    columns, rows = values[across], values[down][::-1]  # small values at the bottom
    arm_of = {tuple(chosen[key] for key in values): arm for arm, chosen in arms.items()}
    for rest in product(*(values[key] for key in others)):
        fixed = dict(zip(others, rest, strict=True))

        def arm_at(row: str, column: str, fixed: Mapping[str, str] = fixed) -> str | None:
            at = {**fixed, across: column, down: row}
            return arm_of.get(tuple(at[key] for key in values))

        cells = tuple(tuple(arm_at(row, column) for column in columns) for row in rows)
        yield OutcomeMap(env, group, fixed, across, down, columns, rows, cells)


def _values(arms: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return {key: its values}, numbers in ascending order."""
    keys = dict.fromkeys(key for chosen in arms.values() for key in chosen)
    values = {
        key: tuple(dict.fromkeys(chosen[key] for chosen in arms.values() if key in chosen))
        for key in keys
    }
    return {
        key: tuple(sorted(some, key=float)) if all(map(_is_number, some)) else some
        for key, some in values.items()
    }


def _is_number(text: str) -> bool:
    try:
        return isfinite(float(text))
    except ValueError:
        return False


# ---- screening ----


def _effects(
    env: str, group: str, arms: Mapping[str, Mapping[str, str]], runs: Sequence[ComparedRun]
) -> Iterator[MainEffect]:
    split = split_of(runs)
    ended = [run for run in runs if run.counts and mean_right(run.last(split)) is not None]
    low = {key: first for key, (first, _) in _two_values(arms).items()}
    signs = [[-1.0 if arms[run.arm][key] == low[key] else 1.0 for key in low] for run in ended]
    sign_RK = np.array(signs, dtype=float).reshape(len(ended), len(low))
    accuracy_R = np.array([mean_right(run.last(split)) for run in ended], dtype=float)
    collapsed_R = np.array([lives_of(run)[ANY].happened for run in ended], dtype=float)
    accuracy, collapsed = (_fitted(sign_RK, y_R) for y_R in (accuracy_R, collapsed_R))
    for place, (key, values) in enumerate(_two_values(arms).items()):
        yield MainEffect(env, group, key, values, accuracy[place], collapsed[place])


def _two_values(arms: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, str]]:
    """Return {key: (first value, second value)}; the smaller number is the first."""
    return {key: (some[0], some[-1]) for key, some in _values(arms).items()}


def _fitted(sign_RK: np.ndarray, y_R: np.ndarray) -> list[NumberWithInterval]:
    """Return the effect of each column with its 95 % interval: twice its coefficient.

    Without enough runs for an error there is no interval, and without any estimate no value.
    """
    keys = sign_RK.shape[1]
    design = np.column_stack([np.ones(len(y_R)), sign_RK])
    if len(y_R) <= keys or np.linalg.matrix_rank(design) <= keys:
        return [NumberWithInterval(None, None, None)] * keys
    from statsmodels.regression.linear_model import OLS

    fit = OLS(y_R, design).fit()
    values = [2 * float(value) for value in fit.params[1:]]
    if fit.df_resid < 1:
        return [NumberWithInterval(value, None, None) for value in values]
    ends = 2 * np.asarray(fit.conf_int())[1:]
    return [
        NumberWithInterval(value, float(low), float(high))
        for value, (low, high) in zip(values, ends.tolist(), strict=True)
    ]
