"""Declare the columns of the report's tables where their values are computed. Pure functions.

A table row is a frozen dataclass. A field annotated with a `Column` is a column of the table. The
`Column` holds the heading, how the value is shown and how it is computed. The document
(`document`), its schema, report.md and report.html are all made from these fields.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeVar, get_type_hints

from mssr_rl.stats.intervals import Interval

R = TypeVar("R")
# How a value is shown; `cells` has a format for every kind.
Kind = Literal[
    "name",  # text
    "count",  # a whole number
    "share",  # 0.25 as a percentage
    "estimate",  # a share and its interval: two cells
    "gap",  # a difference of shares, in points, and its interval: two cells
    "range",  # only the interval of a share
    "seeds",  # {seed: share}
    "word",  # a verdict
    "p",  # a p-value
]
TWO_CELLS: tuple[Kind, ...] = ("estimate", "gap")


@dataclass(frozen=True)
class NumberWithInterval:
    """A number and its 95 % interval; `low` and `high` are None if there is no interval."""

    value: float | None
    low: float | None
    high: float | None


class Column(NamedTuple):
    """A mark that makes a field a table column.

    The field is annotated with `Annotated[float, Column("val", "share", of)]`.
    """

    head: str | None = None  # None: the field is in the document, but in no table
    kind: Kind = "count"
    of: Callable[[Any], Any] | None = None  # computes the value from the subject of the row
    part: str | None = None  # the table shows only this entry of the value
    aside: bool = False  # no verdict uses it; it is grey on the page


class ReportColumn(NamedTuple):
    """One column of a table, with the name of its field."""

    name: str  # the name of the field
    head: str
    kind: Kind
    part: str | None
    aside: bool


def computed(row: type[R], subject: object, **given: Any) -> R:
    """Return a row of the dataclass `row` about `subject`.

    A field is computed by the function `of` of its `Column`, or taken from `given`.
    """
    made = {name: one.of(subject) for name, one in _columns(row).items() if one.of is not None}
    return row(**{**made, **given})


def shown(row: type[Any]) -> tuple[ReportColumn, ...]:
    """Return the columns that a table of this row type shows, in order."""
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
    """Return the headings of the columns; a value with an interval has two headings."""
    second = {kind: ["95 % interval"] for kind in TWO_CELLS}
    return [head for one in columns for head in (one.head, *second.get(one.kind, []))]


def value(row: Mapping[str, Any], one: ReportColumn) -> Any:
    """Return the value of a row of report.json in one column; None if it is empty."""
    whole = row[one.name]
    return whole if whole is None or one.part is None else whole[one.part]


class CellStyle(NamedTuple):
    """How one form of the report, such as report.md, writes its numbers and verdicts."""

    share: Callable[[float | None], str]
    bound: Callable[[float], str]  # a share as a bound of an interval
    change: Callable[[float | None], str]  # a difference of shares
    verdict: Callable[[str], str] = str


def cells(row: Mapping[str, Any], one: ReportColumn, style: CellStyle) -> list[str]:
    """Return the texts of a row's cells in one column."""
    content = value(row, one)
    if content is None:
        return ["–"] * len(heads([one]))
    written: dict[Kind, Callable[[Any], list[str]]] = {
        "name": lambda text: [text],
        "count": lambda count: [f"{count:,}"],
        "share": lambda share: [style.share(share)],
        "estimate": lambda of: [style.share(of["value"]), interval_text(of, style.bound)],
        "gap": lambda of: [style.change(of["value"]), interval_text(of, style.change)],
        "range": lambda of: [interval_text(of, style.bound)],
        "seeds": lambda by_seed: [" ".join(map(style.share, by_seed.values()))],
        "word": lambda verdict: [style.verdict(verdict)],
        "p": lambda p: [f"{p:.3g}"],
    }
    return written[one.kind](content)


def interval_text(estimate: Mapping[str, Any], shown: Callable[[float], str]) -> str:
    """Return the interval of a number as text: "low to high"."""
    low, high = estimate["low"], estimate["high"]
    return "–" if low is None else f"{shown(low)} to {shown(high)}"


def estimate(interval: Interval | None, alone: float | None = None) -> NumberWithInterval:
    """Return an interval as plain numbers; without an interval, return only the value `alone`."""
    if interval is None:
        return NumberWithInterval(alone, None, None)
    return NumberWithInterval(float(interval.value), float(interval.low), float(interval.high))


def within_0_and_1(estimated: NumberWithInterval) -> NumberWithInterval:
    """Return an accuracy and its interval, clipped to [0, 1].

    Student's t interval can reach beyond these limits.
    """
    ends = (estimated.value, estimated.low, estimated.high)
    return NumberWithInterval(*(None if x is None else min(1.0, max(0.0, x)) for x in ends))
