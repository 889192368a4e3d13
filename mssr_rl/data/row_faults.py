"""What is wrong with rows, and what is worth saying of them: kept while data are read.

`reader` and the environments report a row that cannot be used by `met`. It raises, except inside
`listed()`, which collects the faults and lets the reading go on without their rows. `noted` keeps
what a person should know though it is no fault: how columns were read, answers that were taken out
of solutions.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from mssr_rl.errors import UserError

SHOWN = 3  # faults that an error names

_list: ContextVar[list[str] | None] = ContextVar("faults", default=None)
_notes: ContextVar["Notes | None"] = ContextVar("notes", default=None)


class BadRows(UserError):
    """Rows that cannot be used, all of them: `rows` has a sentence for each."""

    def __init__(self, rows: Sequence[str], end: str) -> None:
        more = f" (and {len(rows) - SHOWN} more rows)" if len(rows) > SHOWN else ""
        super().__init__("; ".join(rows[:SHOWN]) + more + end)
        self.rows = tuple(rows)


def met(error: UserError) -> None:
    """Raise the error, or note it where faults are listed."""
    found = _list.get()
    if found is None:
        raise error
    found.append(str(error))


def note(text: str, example: str = "") -> None:
    """Something to say once the data are read, with how often it was noted and a first example."""
    found = _notes.get()
    if found is not None:
        count, first = found.get(text, (0, example))
        found[text] = (count + 1, first)


@contextmanager
def listed() -> Iterator[list[str]]:
    """The faults of all rows that are read inside, complete at the end."""
    found: list[str] = []
    token = _list.set(found)
    try:
        yield found
    finally:
        _list.reset(token)


class Notes(dict[str, tuple[int, str]]):
    """What was noted: how often, and the first example."""

    @property
    def lines(self) -> list[str]:
        """One sentence for each thing."""
        return [f"{n:,} {text}: {first}" if first else text for text, (n, first) in self.items()]


@contextmanager
def noted() -> Iterator[Notes]:
    """What is noted inside."""
    found = Notes()
    token = _notes.set(found)
    try:
        yield found
    finally:
        _notes.reset(token)
