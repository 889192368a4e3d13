"""Collect faults of rows, and notes about them, while data are read.

`reader` and the environments call `met` for a row that cannot be used. It raises an error, except
inside `listed()`. There it collects the fault, and reading continues without the row. `noted()`
collects facts that are no faults but that the user should see. Examples are how columns were read,
and that answers were taken out of solutions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from mssr_rl.errors import UserError

SHOWN = 3  # faults that an error message shows

_list: ContextVar[list[str] | None] = ContextVar("faults", default=None)
_notes: ContextVar["Notes | None"] = ContextVar("notes", default=None)


class BadRows(UserError):
    """Raised if rows cannot be used; `rows` has one sentence for each of them."""

    def __init__(self, rows: Sequence[str], end: str) -> None:
        more = f" (and {len(rows) - SHOWN} more rows)" if len(rows) > SHOWN else ""
        super().__init__("; ".join(rows[:SHOWN]) + more + end)
        self.rows = tuple(rows)


def met(error: UserError) -> None:
    """Raise the error; inside `listed()` add it to the list instead."""
    faults = _list.get()
    if faults is None:
        raise error
    faults.append(str(error))


def note(text: str, example: str = "") -> None:
    """Add a note about the data, if this happens inside `noted()`.

    Each note keeps the number of its occurrences and its first example.
    """
    notes = _notes.get()
    if notes is not None:
        count, first = notes.get(text, (0, example))
        notes[text] = (count + 1, first)


@contextmanager
def listed() -> Iterator[list[str]]:
    """Collect the faults of all rows that are read inside this context.

    The list is complete when the context ends.
    """
    faults: list[str] = []
    token = _list.set(faults)
    try:
        yield faults
    finally:
        _list.reset(token)


class Notes(dict[str, tuple[int, str]]):
    """{text of a note: (number of occurrences, first example)}."""

    @property
    def lines(self) -> list[str]:
        """A list with one sentence for each note."""
        return [f"{n:,} {text}: {first}" if first else text for text, (n, first) in self.items()]


@contextmanager
def noted() -> Iterator[Notes]:
    """Collect the notes that are made inside this context."""
    notes = Notes()
    token = _notes.set(notes)
    try:
        yield notes
    finally:
        _notes.reset(token)
