"""Draw the learning curves of all arms in one chart, over each unit of the budget. Pure functions.

A line is the mean over the seeds that count. The band around an accuracy is the range of the seeds.
An arm has the same colour everywhere on the page. Its position in the list of arms sets the colour.

The texts of charts are part of old reports too, because `version_1` draws with them. So do not
change them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from mssr_rl.comparison.accuracy import SAMPLED
from mssr_rl.comparison.evidence import ComparedRun, counted
from mssr_rl.comparison.imported import Imported
from mssr_rl.comparison.learning_speed import AXES, SeedRange, accuracy_marks, metric_marks
from mssr_rl.metric_names import REWARD_MEAN, TABLE, VALIDATION_ACCURACY, Metric
from mssr_rl.report.curves import Chart, ChartLine, Point
from mssr_rl.report.panels import HEALTH, window

Marks = Mapping[str, Sequence[SeedRange]]  # by arm


class Tab(NamedTuple):
    """The charts over one unit of the budget, such as rollouts or updates."""

    axis: str
    name: str
    charts: tuple[Chart, ...]


def tabs(runs: Sequence[ComparedRun], arms: Sequence[str]) -> tuple[Tab, ...]:
    """Return charts of accuracy and reward, one tab per unit of the budget."""
    by_arm = {arm: counted(runs, arm) for arm in arms}
    greedy = {arm: accuracy_marks(some) for arm, some in by_arm.items()}
    sampled = {arm: accuracy_marks(some, SAMPLED) for arm, some in by_arm.items()}
    reward = {arm: metric_marks(some, REWARD_MEAN) for arm, some in by_arm.items()}
    return tuple(
        Tab(
            axis,
            name,
            (
                _accuracy("Validation accuracy, greedy", greedy, axis, name),
                _accuracy("Validation accuracy, sampled", sampled, axis, name),
                _metric(TABLE[REWARD_MEAN], reward, axis, name),
            ),
        )
        for axis, name in AXES.items()
    )


def health(runs: Sequence[ComparedRun], arms: Sequence[str]) -> tuple[Chart, ...]:
    """Return charts over rollouts of the metrics in `HEALTH`, such as entropy and lengths."""
    by_arm = {arm: counted(runs, arm) for arm in arms}
    charts = []
    for metric in HEALTH:
        marks = {arm: metric_marks(some, metric.name) for arm, some in by_arm.items()}
        if any(marks.values()):
            charts.append(_metric(metric, marks, "rollouts", "rollouts"))
    return tuple(charts)


def beside(
    runs: Sequence[ComparedRun], arms: Sequence[str], imported: Sequence[Imported]
) -> tuple[Chart, ...]:
    """Return charts that show imported runs together with the arms.

    There is one chart per metric that at least one imported run has.
    """
    by_arm = {arm: counted(runs, arm) for arm in arms}
    greedy = {arm: accuracy_marks(some) for arm, some in by_arm.items()}
    charts = [
        (_accuracy("Validation accuracy", greedy, "rollouts", "rollouts"), VALIDATION_ACCURACY)
    ]
    for metric in (TABLE[REWARD_MEAN], *HEALTH):
        marks = {arm: metric_marks(some, metric.name) for arm, some in by_arm.items()}
        charts.append((_metric(metric, marks, "rollouts", "rollouts"), metric.name))
    return tuple(
        replace(
            chart,
            lines=(*chart.lines, *(other.line(key, _smooth(other)) for other in imported)),
            one_trainer=False,
            unit=chart.unit.partition(";")[0],
            width=340,
            height=220,
        )
        for chart, key in charts
        if any(key in other.about.source for other in imported)
    )


def _smooth(other: Imported) -> int:
    return window(len(other.rows))


def _accuracy(title: str, marks: Marks, axis: str, name: str) -> Chart:
    lines = tuple(
        ChartLine(
            name=arm, points=tuple(_point(mark, axis, banded=True) for mark in some), dots=True
        )
        for arm, some in marks.items()
    )
    return Chart(
        title=title, unit="mean of the seeds; band: their range", lines=lines, share=True,
        currency=name, width=420, height=240,
    )  # fmt: skip


def _metric(metric: Metric, marks: Marks, axis: str, name: str) -> Chart:
    smooth = window(max((len(some) for some in marks.values()), default=0))
    lines = tuple(
        ChartLine(name=arm, points=tuple(_point(mark, axis) for mark in some), smooth=smooth)
        for arm, some in marks.items()
    )
    return Chart(
        title=metric.title, unit=metric.unit, lines=lines, share=metric.share, currency=name
    )


def _point(mark: SeedRange, axis: str, *, banded: bool = False) -> Point:
    low, high = (mark.low, mark.high) if banded else (None, None)
    return Point(mark.spent[axis], mark.value, mark.step, low, high)
