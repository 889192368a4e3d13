"""Collect faults of rows, and notes about them, while data are read.

`reader` and the environments call `met` for a row that cannot be used. It raises an error, except
inside `listed()`: there it collects the fault, and reading goes on without the row. `noted()`
collects what a user should know although it is not a fault, such as how columns were read, or that
answers were taken out of solutions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from mssr_rl.errors import UserError

SHOWN = 3  # faults that an error message shows

_list: ContextVar[list[str] | None] = ContextVar("faults", default=None)
_notes: ContextVar["Notes | None"] = ContextVar("notes", default=None)


class BadRows(UserError):
    """Raised for all rows that cannot be used; `rows` has one sentence for each."""

    def __init__(self, rows: Sequence[str], end: str) -> None:
        more = f" (and {len(rows) - SHOWN} more rows)" if len(rows) > SHOWN else ""
        super().__init__("; ".join(rows[:SHOWN]) + more + end)
        self.rows = tuple(rows)


def met(error: UserError) -> None:
    """Raise the error, or add it to the list inside `listed()`."""
    faults = _list.get()
    if faults is None:
        raise error
    faults.append(str(error))


def note(text: str, example: str = "") -> None:
    """Note a fact about the data.

    Each fact keeps its number of occurrences and its first example.
    """
    notes = _notes.get()
    if notes is not None:
        count, first = notes.get(text, (0, example))
        notes[text] = (count + 1, first)


@contextmanager
def listed() -> Iterator[list[str]]:
    """Collect the faults of all rows that are read inside; the list is complete at the end."""
    faults: list[str] = []
    token = _list.set(faults)
    try:
        yield faults
    finally:
        _list.reset(token)


class Notes(dict[str, tuple[int, str]]):
    """The notes: for each, how often it occurred and its first example."""

    @property
    def lines(self) -> list[str]:
        """One sentence for each note."""
        return [f"{n:,} {text}: {first}" if first else text for text, (n, first) in self.items()]


@contextmanager
def noted() -> Iterator[Notes]:
    """Collect the notes that are made inside."""
    notes = Notes()
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)
