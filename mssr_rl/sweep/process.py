"""Runs as processes: how one is started, asked to end, and what its end means.

Each has a session of its own, so a Ctrl-C at the terminal reaches the comparison alone, which then
asks every run once: a run that is asked twice leaves without saving.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol

from mssr_rl import untrusted
from mssr_rl.sweep.standing import FINISHED, RunStanding


class Process(Protocol):
    """A run at work, on this machine (`subprocess.Popen`) or on another (`nodes.Remote`)."""

    def poll(self) -> int | None:
        """Its exit code, None while it works."""

    def wait(self) -> int:
        """Its exit code, once it has one."""

    def send_signal(self, sig: int, /) -> None:
        """Ask it to end, as signals do."""

    def terminate(self) -> None:
        """Ask it to end."""


Launch = Callable[[Sequence[str], Path, int], Process]
End = Literal["finished", "again", "failed"]
END = 10_000  # bytes in which the last words are looked for
USAGE = 2  # the exit code of a command that was wrong: it would be wrong again


def launch(words: Sequence[str], log: Path, threads: int) -> "subprocess.Popen[bytes]":
    """Start `train` with these words; what it says goes to the end of `log`."""
    module = [sys.executable, "-m", "mssr_rl.child", str(os.getpid()), "train"]
    return start([*module, *words], log, threads)


def start(command: Sequence[str], log: Path, threads: int) -> "subprocess.Popen[bytes]":
    """A process with so many threads to compute with."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as said:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )


def meaning(code: int, standing: RunStanding, attempts: int) -> End:
    """What is to be done after a process ended with `code`; a crash is tried once more."""
    if standing.state in FINISHED:
        return "finished"
    return "failed" if code == USAGE or attempts > 1 else "again"


def last_words(log: Path) -> str:
    """The end of what a process said, for the person who asks why."""
    end = untrusted.tail(log, END).decode("utf-8", "replace") if log.exists() else ""
    lines = end.strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
