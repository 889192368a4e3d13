"""Columns of the report's tables, declared where their values are made. Pure.

A row is a frozen dataclass, and a field annotated with a `Column` is a column of its table: its
heading, how its value is shown and how it is computed stand in one place. The document
(`document`), its schema, report.md and report.html all follow from the fields.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar, get_type_hints

from mssr_rl.stats.intervals import Interval

R = TypeVar("R")
# How a value is shown; each target (`tables`, `comparison_page`) has a way for every kind.
Kind = Literal[
    "name",  # text
    "count",  # a whole number
    "share",  # 0.25 as a percentage
    "estimate",  # a share and its interval: two cells
    "gap",  # a difference of shares, in points, and its interval: two cells
    "range",  # the interval of a share, alone
    "seeds",  # {seed: share}
    "word",  # a verdict
    "p",  # a p-value
]
TWO_CELLS: tuple[Kind, ...] = ("estimate", "gap")


@dataclass(frozen=True)
class NumberWithInterval:
    """A number and its 95 % interval; the ends are None where there is none."""

    value: float | None
    low: float | None
    high: float | None


class Column(NamedTuple):
    """What a field's annotation says of it: `Annotated[float, Column("val", "share", of)]`."""

    head: str | None = None  # None: in the document, in no table
    kind: Kind = "count"
    of: Callable[[Any], Any] | None = None  # its value, from what the row is about
    part: str | None = None  # of the value, where only that is shown
    aside: bool = False  # decides nothing: grey on the page


class ReportColumn(NamedTuple):
    """A column of a table."""

    name: str  # of the field
    head: str
    kind: Kind
    part: str | None
    aside: bool


def computed(row: type[R], subject: object, **given: Any) -> R:
    """A row about `subject`: every field computed as its column says, or given."""
    made = {name: one.of(subject) for name, one in _columns(row).items() if one.of is not None}
    return row(**{**made, **given})


def shown(row: type[Any]) -> tuple[ReportColumn, ...]:
    """The columns of a row's table, in order."""
    return tuple(
        ReportColumn(name, one.head, one.kind, one.part, one.aside)
        for name, one in _columns(row).items()
        if one.head is not None
    )


def _columns(row: type[Any]) -> dict[str, Column]:
    kinds = get_type_hints(row, include_extras=True).items()
    marked = ((name, getattr(kind, "__metadata__", ())) for name, kind in kinds)
    return {name: one for name, marks in marked for one in marks if isinstance(one, Column)}


def heads(columns: Sequence[ReportColumn]) -> list[str]:
    """Headings of the cells; a value with an interval takes two."""
    second = {kind: ["95 % interval"] for kind in TWO_CELLS}
    return [head for one in columns for head in (one.head, *second.get(one.kind, []))]


def value(row: Mapping[str, Any], one: ReportColumn) -> Any:
    """What stands in a cell of a row, as the document has it; None where nothing does."""
    found = row[one.name]
    return found if found is None or one.part is None else found[one.part]


def estimate(found: Interval | None, alone: float | None = None) -> NumberWithInterval:
    """An interval as plain numbers; without one, the value `alone`."""
    if found is None:
        return NumberWithInterval(alone, None, None)
    return NumberWithInterval(float(found.value), float(found.low), float(found.high))


def within_0_and_1(found: NumberWithInterval) -> NumberWithInterval:
    """An accuracy's interval, cut at what an accuracy can be: Student's knows no bounds."""
    ends = (found.value, found.low, found.high)
    return NumberWithInterval(*(None if x is None else min(1.0, max(0.0, x)) for x in ends))
