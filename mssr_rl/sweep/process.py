"""Start runs as processes, and decide what to do after a process ended.

Each process has its own session. So Ctrl-C at the terminal reaches only the comparison, which then
sends one signal to every run. A second signal would end a run without saving.
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
    """A running process, on this machine (`subprocess.Popen`) or on another (`nodes.Remote`)."""

    def poll(self) -> int | None:
        """Return the exit code; None while the process is running."""

    def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""

    def send_signal(self, sig: int, /) -> None:
        """Send a signal to the process."""

    def terminate(self) -> None:
        """Send SIGTERM to the process."""


Launch = Callable[[Sequence[str], Path, int], Process]
End = Literal["finished", "again", "failed"]
END = 10_000  # bytes at the end of a log that are searched for the last line
USAGE = 2  # the exit code for wrong arguments; a second try would fail again


def launch(words: Sequence[str], log: Path, threads: int) -> "subprocess.Popen[bytes]":
    """Start `train` with these arguments; append its output to `log`."""
    module = [sys.executable, "-m", "mssr_rl.child", str(os.getpid()), "train"]
    return start([*module, *words], log, threads)


def start(command: Sequence[str], log: Path, threads: int) -> "subprocess.Popen[bytes]":
    """Start a process with `threads` compute threads; append its output to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )


def meaning(code: int, standing: RunStanding, attempts: int) -> End:
    """Return what to do after a process ended with exit code `code`.

    A crashed run is tried once more.
    """
    if standing.state in FINISHED:
        return "finished"
    return "failed" if code == USAGE or attempts > 1 else "again"


def last_words(log: Path) -> str:
    """Return the last line of a log, which usually says why the process ended."""
    end = untrusted.tail(log, END).decode("utf-8", "replace") if log.exists() else ""
    lines = end.strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
