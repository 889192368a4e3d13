"""How training went: stable, warned or collapsed, by arm, and when first. Pure.

The events are `mssr_rl.stability`'s, as each run's summary.json has them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

from mssr_rl.comparison.accuracy import mean_right, verdict
from mssr_rl.comparison.columns import Column, NumberWithInterval, computed, estimate
from mssr_rl.comparison.evidence import ComparedRun, counted
from mssr_rl.stats.rates import rate, rates_differ


class ArmHealth(NamedTuple):
    """An arm of the stability card."""

    arm: str
    runs: Sequence[ComparedRun]

    def count(self, word: str) -> int:
        """How many of its runs ended so."""
        return sum(verdict(run) == word for run in self.runs)


@dataclass(frozen=True)
class EventRow:
    """What a detector found in one run, as its summary.json has it."""

    seed: int
    event: Any
    level: Any
    step: Any
    evidence: Any
    advice: Any


@dataclass(frozen=True)
class StabilityRow:
    """How an arm's trainings went."""

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
    against: dict[str, float]  # Fisher's p of the collapses, by the other arm


def card(runs: Sequence[ComparedRun], arms: Sequence[str]) -> tuple[StabilityRow, ...]:
    """A row an arm."""
    rows = [computed(StabilityRow, ArmHealth(arm, counted(runs, arm)), against={}) for arm in arms]
    return tuple(replace(row, against=_against(row, rows)) for row in rows)


def events(run: ComparedRun) -> list[Mapping[str, Any]]:
    """What the detectors found in one run."""
    return list(run.summary.get("stability", {}).get("events", []))


def worst_dip(run: ComparedRun) -> float | None:
    """The furthest that accuracy on val fell below its best so far."""
    seen = [mean_right(row) for row in run.evaluations if row["split"] == "val"]
    values = [value for value in seen if value is not None]
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
    """Fisher's p of this arm's collapses against every other's; nothing where none collapsed."""
    return {
        other.arm: rates_differ((row.collapsed, row.runs), (other.collapsed, other.runs))
        for other in rows
        if other is not row and row.collapsed + other.collapsed > 0
    }
