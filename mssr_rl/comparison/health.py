"""How training went: stable, warned or collapsed, by arm, and when first. Pure.

The events are `mssr_rl.stability`'s, as each run's summary.json has them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mssr_rl.comparison.accuracy import interval, mean_right, verdict
from mssr_rl.comparison.evidence import Run, counted
from mssr_rl.stats.rates import rate, rates_differ


def card(runs: Sequence[Run], arms: Sequence[str]) -> list[dict[str, Any]]:
    """A row an arm."""
    rows = [_row(arm, counted(runs, arm)) for arm in arms]
    return [{**row, "against": _against(row, rows)} for row in rows]


def events(run: Run) -> list[Mapping[str, Any]]:
    """What the detectors found in one run."""
    return list(run.summary.get("stability", {}).get("events", []))


def worst_dip(run: Run) -> float | None:
    """The furthest that accuracy on val fell below its best so far."""
    seen = [mean_right(row) for row in run.evaluations if row["split"] == "val"]
    values = [value for value in seen if value is not None]
    if not values:
        return None
    return max(max(values[: i + 1]) - value for i, value in enumerate(values))


def _row(arm: str, runs: Sequence[Run]) -> dict[str, Any]:
    verdicts = [verdict(run) for run in runs]
    collapsed = verdicts.count("collapsed")
    dips = [dip for run in runs if (dip := worst_dip(run)) is not None]
    return {
        "arm": arm,
        "runs": len(runs),
        **{word: verdicts.count(word) for word in ("stable", "warned", "collapsed")},
        "collapse_rate": interval(rate(collapsed, len(runs))),
        "worst_dip": max(dips, default=None),
        "events": [{"seed": run.seed, **_event(event)} for run in runs for event in events(run)],
    }


def _against(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Fisher's p of this arm's collapses against every other's; nothing where none collapsed."""
    return {
        str(other["arm"]): rates_differ(_share(row), _share(other))
        for other in rows
        if other is not row and row["collapsed"] + other["collapsed"] > 0
    }


def _share(row: Mapping[str, Any]) -> tuple[int, int]:
    return int(row["collapsed"]), int(row["runs"])


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: event.get(key) for key in ("event", "level", "step", "evidence", "advice")}
