"""A law tried in a process of its own: a reward that hangs is a finding, not the end of the check.

The child says what it works on before each response. If it then says nothing for `PATIENCE`, it is
killed with all it has started, and the finding names the response.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple

from mssr_rl.errors import UserError

PATIENCE = 30.0  # [s] for one response

_parent: Connection | None = None  # in a child: where it says what it does


class Violation(NamedTuple):
    """One thing that is wrong, with the row that shows it."""

    law: str
    says: str


class Trial(NamedTuple):
    """What a law found; `ended` is false if it had to be killed or died."""

    findings: list[Violation]
    ended: bool


def working_on(what: str) -> None:
    """Said before each response, for the finding should it hang."""
    if _parent is not None:
        _parent.send(what)


def tried(law: Callable[[], Iterable[Violation]], patience: float = PATIENCE) -> Trial:
    """The findings of `law`, or that it hangs; a `UserError` of its own is raised here."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(law, theirs))
    child.start()
    theirs.close()
    try:
        return _followed(ours, patience)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid or 0, signal.SIGKILL)  # its own children too
        child.kill()
        child.join()


def _work(law: Callable[[], Iterable[Violation]], parent: Connection) -> None:
    global _parent  # noqa: PLW0603
    os.setsid()
    _parent = parent
    try:
        parent.send(list(law()))
    except UserError as error:
        parent.send(error)


def _followed(child: Connection, patience: float) -> Trial:
    doing = "its first response"
    while child.poll(patience):
        try:
            said = child.recv()
        except EOFError:
            return Trial([Violation("process-safe", f"the process dies on {doing}")], ended=False)
        if isinstance(said, UserError):
            raise said
        if not isinstance(said, str):
            return Trial(said, ended=True)
        doing = said
    says = f"{doing} does not end within {patience:g} s; nothing else was tried"
    return Trial([Violation("bounded time", says)], ended=False)
