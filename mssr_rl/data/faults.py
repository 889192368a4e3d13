"""What is wrong with rows: the first fault ends a run, `check` lists them all.

`reader` and the environments report a row that cannot be used by `met`. It raises, except inside
`listed()`, which collects the faults and lets the reading go on without their rows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mssr_rl.errors import UserError

_list: ContextVar[list[str] | None] = ContextVar("faults", default=None)


def met(error: UserError) -> None:
    """Raise the error, or note it where faults are listed."""
    found = _list.get()
    if found is None:
        raise error
    found.append(str(error))


@contextmanager
def listed() -> Iterator[list[str]]:
    """The faults of all rows that are read inside, complete at the end."""
    found: list[str] = []
    token = _list.set(found)
    try:
        yield found
    finally:
        _list.reset(token)
