"""Prepares the page of a comparison while it trains: the standing of every arm, and its curves."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, NamedTuple

import msgspec

from mssr_rl import untrusted
from mssr_rl.errors import UserError
from mssr_rl.metric_names import VALIDATION_ACCURACY
from mssr_rl.report import panels
from mssr_rl.report.curves import Chart, ChartLine, Point
from mssr_rl.view.follow import RunCache
from mssr_rl.view.glance import Glances
from mssr_rl.view.library import Place, state_of
from mssr_rl.view.run_views import RunLine, files_of, line_of_run

MOST_RUNS = 200
Name = Annotated[str, msgspec.Meta(max_length=200)]


class _Planned(msgspec.Struct):
    name: Name
    arm: Name
    env: Name
    seed: int


class _Plan(msgspec.Struct):
    """The fields of compare.json that the page uses."""

    arms: list[Name]
    envs: list[Name]
    runs: Annotated[list[_Planned], msgspec.Meta(max_length=MOST_RUNS)]


class _OnEnv(msgspec.Struct):
    env: Name
    verdict: str = ""
    in_front: str = ""


class _Findings(msgspec.Struct):
    """The fields of report.json that the page uses."""

    envs: list[_OnEnv] = []


class ArmStanding(NamedTuple):
    """One arm: its runs, and the means over the runs that have begun."""

    arm: str
    env: str
    runs: list[RunLine | None]  # None: not started
    share: float  # of the budget of all its runs
    reward: float | None
    accuracy: float | None
    accuracy_sampled: float | None


class ComparisonSheet(NamedTuple):
    """Everything on the page of a comparison."""

    place: Place
    arms: list[ArmStanding]
    colours: Mapping[str, int]
    finished: int
    planned: int
    charts: dict[str, list[Chart]]  # by environment
    sentences: list[str]  # of the last report


def comparison_sheet(
    place: Place, runs: Sequence[Place], cache: RunCache, glances: Glances
) -> ComparisonSheet:
    """Return the page of a comparison. Raise `UserError` if compare.json is damaged."""
    plan = read_plan(place)
    by_name = {run.folder.name: run for run in runs}
    lines = {
        name: line_of_run(run, state_of(run), glances)
        for name, run in by_name.items()
        if any(planned.name == name for planned in plan.runs)
    }
    states = [line.status.state for line in lines.values()]
    return ComparisonSheet(
        place=place,
        arms=[_standing(plan, arm, env, lines) for env in plan.envs for arm in plan.arms],
        colours={arm: i for i, arm in enumerate(plan.arms, 1)},
        finished=states.count("done") + states.count("collapsed"),
        planned=len(plan.runs),
        charts={env: list(_charts(plan, env, by_name, cache)) for env in plan.envs},
        sentences=_sentences(place),
    )


def read_plan(place: Place) -> _Plan:
    """Return the arms and runs of compare.json."""
    path = place.folder / "compare.json"
    try:
        return msgspec.convert(untrusted.read_object(path, within=place.folder), _Plan)
    except FileNotFoundError:
        raise UserError(f"{path} is gone; the comparison may have been deleted") from None
    except msgspec.ValidationError as error:
        raise UserError(f"{path} is not as compare writes it: {error}") from None


def _standing(plan: _Plan, arm: str, env: str, lines: Mapping[str, RunLine]) -> ArmStanding:
    mine = [lines.get(run.name) for run in plan.runs if (run.arm, run.env) == (arm, env)]
    begun = [line.glance for line in mine if line is not None]
    return ArmStanding(
        arm,
        env,
        mine,
        sum(line.share or 0.0 for line in mine if line) / max(1, len(mine)),
        _mean([glance.rewards[-1] if glance.rewards else None for glance in begun]),
        _mean([glance.accuracy for glance in begun]),
        _mean([glance.accuracy_sampled for glance in begun]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def arm_charts(place: Place, runs: Sequence[Place], cache: RunCache) -> Iterator[Chart]:
    """Yield the charts of a comparison: means over the seeds of each arm, env by env."""
    plan, by_name = read_plan(place), {run.folder.name: run for run in runs}
    for env in plan.envs:
        yield from _charts(plan, env, by_name, cache)


def _charts(
    plan: _Plan, env: str, by_name: Mapping[str, Place], cache: RunCache
) -> Iterator[Chart]:
    """Yield one chart per metric, with one line for each arm."""
    by_title: dict[str, dict[str, list[Chart]]] = {}
    for planned in plan.runs:
        if planned.env != env or planned.name not in by_name:
            continue
        files = files_of(cache.get(by_name[planned.name].folder, samples=False))
        drawn = panels.charts(files.metrics, files.evaluations)
        for chart in (*drawn.main, *drawn.health):
            by_title.setdefault(chart.title, {}).setdefault(planned.arm, []).append(chart)
    for by_arm in by_title.values():
        means = [mean_of_seeds(by_arm[arm]) if arm in by_arm else None for arm in plan.arms]
        chart = panels.overlaid(means, plan.arms)
        key = chart.key if len(plan.envs) == 1 else f"{env}/{chart.key}"
        yield replace(chart, key=key)


def mean_of_seeds(charts: Sequence[Chart]) -> Chart:
    """Return the mean of the first lines of several charts, at the steps that any of them has.

    The band of an accuracy is the range of the seeds.
    """
    by_step: dict[float, list[Point]] = {}
    for chart in charts:
        for p in chart.lines[0].finite:
            by_step.setdefault(p.step, []).append(p)
    banded = charts[0].key == VALIDATION_ACCURACY
    points = tuple(_mean_point(by_step[step], banded=banded) for step in sorted(by_step))
    first = charts[0].lines[0]
    line = ChartLine(name=first.name, points=points, smooth=first.smooth, dots=first.dots)
    unit = "" if banded else charts[0].unit
    return replace(charts[0], lines=(line,), unit=unit)


def _mean_point(points: Sequence[Point], *, banded: bool) -> Point:
    values = [p.y for p in points]
    low, high = (min(values), max(values)) if banded and len(values) > 1 else (None, None)
    x = sum(p.x for p in points) / len(points)
    return Point(x, sum(values) / len(values), points[0].step, low, high)


def _sentences(place: Place) -> list[str]:
    """Return the sentences of the newest report; none if there is no readable one."""
    try:
        found = untrusted.read_object(place.folder / "report.json", within=place.folder)
        told = msgspec.convert(found, _Findings)
    except (FileNotFoundError, untrusted.Unusable, msgspec.ValidationError):
        return []
    return [line for on in told.envs for line in (on.verdict, on.in_front) if line]
