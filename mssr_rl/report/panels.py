"""Which curves a run gets: known metrics in a fixed order, then whatever its algorithm measured.

Pure. Names no algorithm: keys this file has not heard of are drawn under their own name.
"""

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import NamedTuple

from mssr_rl.report.curves import Chart, ChartLine, Point
from mssr_rl.report.runfiles import Row
from mssr_rl.stats import wilson

NAN = float("nan")


class Panel(NamedTuple):
    """One metric's place on the page."""

    key: str
    title: str
    unit: str
    share: bool = False


REWARD = Panel("reward/mean", "Training reward", "mean over the step’s rollouts")
HEALTH = (
    Panel("actor/entropy", "Entropy", "nats per token, full vocabulary"),
    Panel("actor/kl_ref", "KL to the reference", "nats per token"),
    Panel("actor/kl_step", "KL of one step", "nats per token"),
    Panel("response_length/mean", "Response length", "tokens, mean"),
    Panel("response_length/clip_ratio", "Cut off at the limit", "share of rollouts", True),
    Panel("reward/no_answer_fraction", "No answer found", "share of rollouts", True),
    Panel("critic/advantages/zero_fraction", "Zero advantage", "share of rollouts", True),
    Panel("actor/pg_clipfrac", "Clipped ratios", "share of tokens", True),
    Panel("actor/grad_norm", "Gradient norm", "before clipping"),
)
OWN = {
    "tracker/mean": Panel("", "Tracked value", "mean over problems"),
    "tracker/eta": Panel("", "Forgetting factor η", "of the value tracker"),
    "tracker/kl": Panel("", "KL the tracker saw", "nats per token"),
    "shaping/bonus_mean": Panel("", "Entropy bonus", "mean, advantage units"),
    "shaping/capped_fraction": Panel("", "Bonus capped", "share of tokens", True),
    "shaping/flipped_fraction": Panel("", "Sign flipped by the bonus", "share of tokens", True),
}
OURS = ("actor/", "reward/", "critic/", "response_length/", "budget/", "timing_s/")


class Panels(NamedTuple):
    """All charts of a page."""

    main: tuple[Chart, ...]
    health: tuple[Chart, ...]
    own: tuple[Chart, ...]


def charts(metrics: Sequence[Row], evaluations: Sequence[Row]) -> Panels:
    """Reward and validation accuracy large; health and the algorithm's own curves small."""
    reward = _chart(REWARD, metrics, width=420, height=240)
    return Panels(
        main=(_accuracy(evaluations), reward),
        health=tuple(_chart(p, metrics) for p in HEALTH if _has(p.key, metrics)),
        own=tuple(_chart(p, metrics) for p in _own_panels(metrics)),
    )


def rollouts_at(row: Row) -> float:
    """Charged rollouts when `row` was written; the step itself where no ledger is recorded."""
    budget = row.get("budget")
    nested = budget.get("rollouts") if isinstance(budget, dict) else None
    return value(row, "budget/rollouts") if nested is None else float(nested)


def value(row: Row, key: str) -> float:
    """A number of a row; NaN, which is drawn as a gap, where it is missing."""
    found = row.get(key)
    return float(found) if isinstance(found, (int, float)) else NAN


def window(n: int) -> int:
    """Odd smoothing window: about a fifteenth of the run, at least 5; 1 for short runs."""
    return max(5, n // 15 // 2 * 2 + 1) if n >= 10 else 1


def _has(key: str, metrics: Sequence[Row]) -> bool:
    return any(key in row for row in metrics)


def _own_panels(metrics: Sequence[Row]) -> Iterable[Panel]:
    keys = {key for row in metrics for key in row if _is_own(key, row)}
    known = list(OWN)
    for key in sorted(keys, key=lambda k: (known.index(k) if k in OWN else len(OWN), k)):
        yield OWN.get(key, Panel("", key, ""))._replace(key=key)


def _is_own(key: str, row: Row) -> bool:
    return key != "step" and not key.startswith(OURS) and isfinite(value(row, key))


def _chart(panel: Panel, metrics: Sequence[Row], width: int = 340, height: int = 200) -> Chart:
    points = tuple(Point(_x(row), value(row, panel.key), float(row["step"])) for row in metrics)
    smooth = window(len(points))
    return Chart(
        title=panel.title,
        unit=panel.unit,
        lines=(ChartLine(name=panel.title, points=points, smooth=smooth),),
        share=panel.share,
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
