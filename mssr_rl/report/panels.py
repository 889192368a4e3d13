"""Choose the charts of a run: known metrics in a fixed order, then those of its own algorithm.

Pure functions. This module names no algorithm. A metric that it does not know is drawn under its
own name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isfinite
from typing import NamedTuple

from mssr_rl import metric_names
from mssr_rl.metric_names import BUDGET_ROLLOUTS, REWARD_MEAN, VALIDATION_ACCURACY, Metric
from mssr_rl.report.curves import Chart, ChartLine, Point
from mssr_rl.report.runfiles import Row
from mssr_rl.stats import wilson

NAN = float("nan")


HEALTH = metric_names.drawn("health")
OWN = {metric.name: metric for metric in metric_names.drawn("own")}


class Panels(NamedTuple):
    """All charts of a page."""

    main: tuple[Chart, ...]
    health: tuple[Chart, ...]
    own: tuple[Chart, ...]


def charts(metrics: Sequence[Row], evaluations: Sequence[Row]) -> Panels:
    """Return the charts of a page.

    Reward and accuracy on val are large. Health metrics and the algorithm's own metrics are small.
    """
    reward = _chart(metric_names.TABLE[REWARD_MEAN], metrics, width=420, height=240)
    return Panels(
        main=(_accuracy(evaluations), reward),
        health=tuple(_chart(m, metrics) for m in HEALTH if _has(m.name, metrics)),
        own=tuple(_chart(m, metrics) for m in _own_metrics(metrics)),
    )


def rollouts_at(row: Row) -> float:
    """Return the rollouts spent when `row` was written; without a ledger, return the step."""
    budget = row.get("budget")
    nested = budget.get("rollouts") if isinstance(budget, dict) else None
    return value(row, BUDGET_ROLLOUTS) if nested is None else float(nested)


def value(row: Row, key: str) -> float:
    """Return a number of a row; if it is missing, return NaN, which is drawn as a gap."""
    found = row.get(key)
    return float(found) if isinstance(found, (int, float)) else NAN


def window(n: int) -> int:
    """Return the odd number of values over which a curve of `n` values is smoothed.

    It is about n / 15, but at least 5; for short runs it is 1.
    """
    return max(5, n // 15 // 2 * 2 + 1) if n >= 10 else 1


def _has(key: str, metrics: Sequence[Row]) -> bool:
    return any(key in row for row in metrics)


def _own_metrics(metrics: Sequence[Row]) -> Iterable[Metric]:
    """Yield the metrics of the algorithm or a plug-in: declared ones first, then others by name."""
    keys = {key for row in metrics for key in row if _is_own(key, row)}
    yield from (metric for name, metric in OWN.items() if name in keys)
    for key in sorted(keys - OWN.keys()):
        yield Metric(key, unit="", meaning="", source="", title=key)


def _is_own(key: str, row: Row) -> bool:
    return (key in OWN or key not in metric_names.TABLE) and isfinite(value(row, key))


def _chart(metric: Metric, metrics: Sequence[Row], width: int = 340, height: int = 200) -> Chart:
    points = tuple(Point(_x(row), value(row, metric.name), float(row["step"])) for row in metrics)
    smooth = window(len(points))
    return Chart(
        title=metric.title,
        unit=metric.unit,
        lines=(ChartLine(name=metric.title, points=points, smooth=smooth),),
        share=metric.share,
        width=width,
        height=height,
        key=metric.name,
    )


def _x(row: Row) -> float:
    rollouts = rollouts_at(row)
    return rollouts if isfinite(rollouts) else float(row["step"])


def _accuracy(evaluations: Sequence[Row]) -> Chart:
    rows = [row for row in evaluations if row.get("split") == "val"]
    return Chart(
        title="Validation accuracy",
        unit="band: Wilson 95 %",
        lines=tuple(
            ChartLine(name=name, points=tuple(_scored(row, key) for row in rows), dots=True)
            for name, key in (("greedy", "accuracy"), ("sampled", "accuracy_sampled"))
        ),
        share=True,
        width=420,
        height=240,
        key=VALIDATION_ACCURACY,
    )


def overlaid(charts: Sequence[Chart | None], names: Sequence[str]) -> Chart:
    """Return the first line of each chart in one chart, under these names; None has no line.

    The charts are of one metric, and at least one of them is there. Of accuracy it is the greedy
    one.
    """
    first = next(chart for chart in charts if chart is not None)
    lines = (
        replace(chart.lines[0], name=name) if chart else ChartLine(name=name, points=())
        for chart, name in zip(charts, names, strict=True)
    )
    kind = " (greedy)" if first.key == VALIDATION_ACCURACY else ""
    return replace(first, title=first.title + kind, lines=tuple(lines), one_trainer=False)


def _scored(row: Row, key: str) -> Point:
    share = value(row, key)
    span = wilson(share, int(row.get("n", 0))) if isfinite(share) else None
    low, high = (span.low, span.high) if span else (None, None)
    return Point(_x(row), share, float(row["step"]), low, high)
