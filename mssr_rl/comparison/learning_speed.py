"""How fast the arms learn: learning curves over any unit of the budget. Pure functions.

The area under the curve and the budget to a target are computed for every run, because the
statistics compare runs. The drawn lines are means over seeds at each evaluation.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from mssr_rl.comparison.accuracy import GREEDY, average, mean_right
from mssr_rl.comparison.columns import NumberWithInterval, estimate, within_0_and_1
from mssr_rl.comparison.evidence import ComparedRun, counted
from mssr_rl.metric_names import budget_name
from mssr_rl.report.runfiles import Row
from mssr_rl.stats.learning_curves import Curve, area, budget_to, common_mark, race_to
from mssr_rl.stats.verdict import Pair, Rule, compare_values

AXES = {
    "rollouts": "rollouts",
    "prompts": "prompts",
    "updates": "updates",
    "generated_tokens": "generated tokens",
    "trained_tokens": "trained tokens",
    "seconds": "seconds",
}
EXACT = tuple(axis for axis in AXES if axis != "seconds")  # equal when a run is repeated


class SeedRange(NamedTuple):
    """The mean of a quantity over seeds at one step, with its lowest and highest value."""

    step: int
    spent: Mapping[str, float]  # by unit of the budget
    value: float
    low: float
    high: float


def curve(run: ComparedRun, axis: str, kind: str = GREEDY) -> Curve | None:
    """Return a run's accuracy on val over one unit of the budget.

    `axis` is the unit, a key of `AXES`. None if the run has fewer than two evaluations.
    """
    marks: dict[float, float] = {}
    for row in run.evaluations:
        if row["split"] == "val" and (value := mean_right(row, kind)) is not None:
            marks.setdefault(float(row["budget"][axis]), value)
    budget = sorted(marks)
    return Curve(budget, [marks[spent] for spent in budget]) if len(budget) > 1 else None


def curves(
    runs: Sequence[ComparedRun], arms: Sequence[str], axis: str
) -> dict[str, dict[int, Curve]]:
    """Return {arm: {seed: learning curve}} of the runs that count."""
    by_arm = {
        arm: {run.seed: c for run in counted(runs, arm) if (c := curve(run, axis))} for arm in arms
    }
    return {arm: by_seed for arm, by_seed in by_arm.items() if by_seed}


@dataclass(frozen=True)
class AreaRow:
    """The area under an arm's curves."""

    arm: str
    area: NumberWithInterval


@dataclass(frozen=True)
class AreaPair:
    """Two arms compared by area. There is no verdict, because it would be one more test."""

    a: str
    b: str
    difference: NumberWithInterval
    p_holm: float | None


@dataclass(frozen=True)
class ToTarget:
    """The budget that an arm's runs needed to the target; None for a seed that never reached it."""

    runs: int
    reached: int
    mean_of_those: float | None
    by_seed: dict[str, float | None]


@dataclass(frozen=True)
class TargetRace:
    """The log-rank test of which arm reaches the target sooner."""

    a: str
    b: str
    log_rank_p: float | None
    floor: float  # the smallest p of a permutation test with so many runs


@dataclass(frozen=True)
class SpeedRow:
    """How fast the arms learn, over one unit of the budget."""

    axis: str
    until: float
    areas: tuple[AreaRow, ...]
    pairs: tuple[AreaPair, ...]
    target: float
    to_target: dict[str, ToTarget]
    races: tuple[TargetRace, ...]


def speed(runs: Sequence[ComparedRun], arms: Sequence[str], rule: Rule) -> tuple[SpeedRow, ...]:
    """Return one row per unit of the budget except seconds.

    A row holds the areas under the curves, and the budgets that the runs need to a common target.
    """
    return tuple(row for axis in EXACT if (row := _speed(runs, arms, axis, rule)))


def _speed(
    runs: Sequence[ComparedRun], arms: Sequence[str], axis: str, rule: Rule
) -> SpeedRow | None:
    by_arm = curves(runs, arms, axis)
    if not by_arm:
        return None
    until = common_mark({arm: list(by_seed.values()) for arm, by_seed in by_arm.items()})
    if any(c.budget[0] >= until for by_seed in by_arm.values() for c in by_seed.values()):
        return None  # a run ended before its second evaluation
    areas = {
        arm: {s: area(c, until) for s, c in by_seed.items()} for arm, by_seed in by_arm.items()
    }
    resolution = 1 / max(1, _problems(runs))
    tested = rule if rule.baseline in areas else rule._replace(baseline=None)
    comparison = compare_values(areas, resolution, tested)
    target = min(
        average([c.accuracy[-1] for c in curves.values()]) or 0.0 for curves in by_arm.values()
    )
    return SpeedRow(
        axis=axis,
        until=until,
        areas=tuple(
            AreaRow(arm.name, within_0_and_1(estimate(arm.interval, arm.mean)))
            for arm in comparison.arms
        ),
        pairs=tuple(map(_area_pair, comparison.pairs)),
        target=target,
        to_target={arm: _reached(by_seed, target) for arm, by_seed in by_arm.items()},
        races=tuple(_race(by_arm, pair.a, pair.b, target) for pair in comparison.pairs),
    )


def _area_pair(pair: Pair) -> AreaPair:
    difference = estimate(pair.test.interval if pair.test else None)
    p_holm = pair.test.p_holm if pair.test else None
    return AreaPair(pair.a, pair.b, difference, p_holm)


def _reached(by_seed: Mapping[int, Curve], target: float) -> ToTarget:
    budgets = {str(seed): budget_to(c, target) for seed, c in by_seed.items()}
    there = [run.budget for run in budgets.values() if run.reached]
    return ToTarget(
        runs=len(budgets),
        reached=len(there),
        mean_of_those=average(there),
        by_seed={seed: run.budget if run.reached else None for seed, run in budgets.items()},
    )


def _race(by_arm: Mapping[str, Mapping[int, Curve]], a: str, b: str, target: float) -> TargetRace:
    """Return the log-rank test of which arm reaches the target sooner.

    Runs that never reach the target are included.
    """
    race = race_to(list(by_arm[a].values()), list(by_arm[b].values()), target)
    return TargetRace(a, b, race.p, race.floor)


def _problems(runs: Sequence[ComparedRun]) -> int:
    return max((int(row["n"]) for run in runs if (row := run.last("val"))), default=1)


# ---- means over seeds, to be drawn ----


def accuracy_marks(runs: Sequence[ComparedRun], kind: str = GREEDY) -> list[SeedRange]:
    """Return an arm's accuracy on val, mean and range over its seeds, at every evaluation."""
    rows = [[row for row in run.evaluations if row["split"] == "val"] for run in runs]
    return _marks(rows, lambda row: mean_right(row, kind), lambda row, axis: row["budget"][axis])


def metric_marks(runs: Sequence[ComparedRun], key: str) -> list[SeedRange]:
    """Return a metric of an arm, mean and range over its seeds, at every training step."""
    rows = [list(run.metrics) for run in runs]
    return _marks(rows, lambda row: row.get(key), lambda row, axis: row[budget_name(axis)])


def _marks(
    rows: Sequence[Sequence[Row]],
    value: Callable[[Row], float | None],
    spent: Callable[[Row, str], float],
) -> list[SeedRange]:
    by_step: dict[int, list[Row]] = {}
    for run in rows:
        for row in run:
            if value(row) is not None:
                by_step.setdefault(int(row["step"]), []).append(row)
    marks = []
    for step in sorted(by_step):
        some = by_step[step]
        values = [v for row in some if (v := value(row)) is not None]
        currencies = {axis: sum(spent(row, axis) for row in some) / len(some) for axis in AXES}
        mean = sum(values) / len(values)
        marks.append(SeedRange(step, currencies, mean, min(values), max(values)))
    return marks
