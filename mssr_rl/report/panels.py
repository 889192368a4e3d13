"""The curves of a run: known metrics in a fixed order, then those that only its algorithm measures.

Pure. Names no algorithm: keys this file has not heard of are drawn under their own name.
"""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import NamedTuple

from mssr_rl import metric_names
from mssr_rl.metric_names import BUDGET_ROLLOUTS, REWARD_MEAN, Metric
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
    """Reward and validation accuracy large; health and the algorithm's own curves small."""
    reward = _chart(metric_names.TABLE[REWARD_MEAN], metrics, width=420, height=240)
    return Panels(
        main=(_accuracy(evaluations), reward),
        health=tuple(_chart(m, metrics) for m in HEALTH if _has(m.name, metrics)),
        own=tuple(_chart(m, metrics) for m in _own_metrics(metrics)),
    )


def rollouts_at(row: Row) -> float:
    """Charged rollouts when `row` was written; the step itself where no ledger is recorded."""
    budget = row.get("budget")
    nested = budget.get("rollouts") if isinstance(budget, dict) else None
    return value(row, BUDGET_ROLLOUTS) if nested is None else float(nested)


def value(row: Row, key: str) -> float:
    """A number of a row; NaN, which is drawn as a gap, where it is missing."""
    found = row.get(key)
    return float(found) if isinstance(found, (int, float)) else NAN


def window(n: int) -> int:
    """Odd smoothing window: about a fifteenth of the run, at least 5; 1 for short runs."""
    return max(5, n // 15 // 2 * 2 + 1) if n >= 10 else 1


def _has(key: str, metrics: Sequence[Row]) -> bool:
    return any(key in row for row in metrics)


def _own_metrics(metrics: Sequence[Row]) -> Iterable[Metric]:
    """What the algorithm or a plug-in measured: declared ones first, others by their names."""
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
    )


def _scored(row: Row, key: str) -> Point:
    share = value(row, key)
    span = wilson(share, int(row.get("n", 0))) if isfinite(share) else None
    low, high = (span.low, span.high) if span else (None, None)
    return Point(_x(row), share, float(row["step"]), low, high)
