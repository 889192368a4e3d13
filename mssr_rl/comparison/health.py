"""Make the stability table: how many runs of each arm were stable, warned or collapsed.

The events come from `mssr_rl.stability`; each run's summary.json holds them. Pure functions.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

from mssr_rl.comparison.accuracy import mean_right, verdict
from mssr_rl.comparison.columns import Column, NumberWithInterval, computed, estimate
from mssr_rl.comparison.evidence import ComparedRun, counted
from mssr_rl.stats.rates import rate, rates_differ


class ArmHealth(NamedTuple):
    """An arm and those of its runs that count."""

    arm: str
    runs: Sequence[ComparedRun]

    def count(self, stability: str) -> int:
        """Return how many runs of the arm have this stability verdict, such as "collapsed"."""
        return sum(verdict(run) == stability for run in self.runs)


@dataclass(frozen=True)
class EventRow:
    """One event that a detector reported in a run, copied from its summary.json."""

    seed: int
    event: Any
    level: Any
    step: Any
    evidence: Any
    advice: Any


@dataclass(frozen=True)
class StabilityRow:
    """One arm of the stability table."""

    arm: Annotated[str, Column("arm", "name", lambda one: one.arm)]
    runs: Annotated[int, Column("runs", "count", lambda one: len(one.runs))]
    stable: Annotated[int, Column("stable", "count", lambda one: one.count("stable"))]
    warned: Annotated[int, Column("warned", "count", lambda one: one.count("warned"))]
    collapsed: Annotated[int, Column("collapsed", "count", lambda one: one.count("collapsed"))]
    collapse_rate: Annotated[
        NumberWithInterval,
        Column(
            "collapse rate, 95 %",
            "range",
            lambda one: estimate(rate(one.count("collapsed"), len(one.runs))),
        ),
    ]
    worst_dip: Annotated[float | None, Column("worst dip", "share", lambda x: _worst_of(x.runs))]
    events: Annotated[tuple[EventRow, ...], Column(of=lambda one: tuple(_event_rows(one.runs)))]
    against: dict[str, float]  # other arm -> Fisher's exact p that both collapse equally often


def card(runs: Sequence[ComparedRun], arms: Sequence[str]) -> tuple[StabilityRow, ...]:
    """Return the stability table, one row per arm."""
    rows = [computed(StabilityRow, ArmHealth(arm, counted(runs, arm)), against={}) for arm in arms]
    return tuple(replace(row, against=_against(row, rows)) for row in rows)


def events(run: ComparedRun) -> list[Mapping[str, Any]]:
    """Return the events that the detectors reported in a run."""
    return list(run.summary.get("stability", {}).get("events", []))


def worst_dip(run: ComparedRun) -> float | None:
    """Return the largest fall of the accuracy on val below its best value so far.

    None if the run has no evaluation on val.
    """
    measured = [mean_right(row) for row in run.evaluations if row["split"] == "val"]
    values = [value for value in measured if value is not None]
    if not values:
        return None
    return max(max(values[: i + 1]) - value for i, value in enumerate(values))


def _worst_of(runs: Sequence[ComparedRun]) -> float | None:
    dips = [dip for run in runs if (dip := worst_dip(run)) is not None]
    return max(dips, default=None)


def _event_rows(runs: Sequence[ComparedRun]) -> Iterator[EventRow]:
    names = ("event", "level", "step", "evidence", "advice")
    for run in runs:
        for event in events(run):
            yield EventRow(run.seed, *(event.get(name) for name in names))


def _against(row: StabilityRow, rows: Sequence[StabilityRow]) -> dict[str, float]:
    """Return {other arm: p-value of Fisher's exact test that both arms collapse equally often}.

    Pairs of arms without any collapsed run are left out.
    """
    return {
        other.arm: rates_differ((row.collapsed, row.runs), (other.collapsed, other.runs))
        for other in rows
        if other is not row and row.collapsed + other.collapsed > 0
    }
