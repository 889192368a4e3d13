"""Tries a law in a separate process, so that a reward that hangs is a finding.

The child reports each response before it is graded. If it then reports nothing for `PATIENCE`
seconds, it is killed with all its child processes, and the finding names the response.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import NamedTuple

from mssr_rl.errors import UserError

PATIENCE = 30.0  # [s] time limit for one response

_parent: Connection | None = None  # in a child: the connection for its reports


class Violation(NamedTuple):
    """A finding: the broken law, and a sentence with the row that shows it."""

    law: str
    says: str


class Trial(NamedTuple):
    """The findings of a law; `ended` is False if the law's process was killed or died."""

    findings: list[Violation]
    ended: bool


def working_on(what: str) -> None:
    """Report the next response to the parent process, which names it if the response hangs."""
    if _parent is not None:
        _parent.send(what)


def tried(law: Callable[[], Iterable[Violation]], patience: float = PATIENCE) -> Trial:
    """Return the findings of `law`; if it hangs, one finding that says so.

    A `UserError` in the child is raised here.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(law, theirs))
    child.start()
    theirs.close()
    try:
        return _followed(ours, patience)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid or 0, signal.SIGKILL)  # includes the child's own children
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
            report = child.recv()
        except EOFError:
            return Trial([Violation("process-safe", f"the process dies on {doing}")], ended=False)
        if isinstance(report, UserError):
            raise report
        if not isinstance(report, str):
            return Trial(report, ended=True)
        doing = report
    says = f"{doing} does not end within {patience:g} s; nothing else was tried"
    return Trial([Violation("bounded time", says)], ended=False)
