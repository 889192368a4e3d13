"""Handles signals that end a run: the first one saves and ends, a second one ends at once.

The handler only notes the signal. The trainer checks for it between the phases of a step and
between the batches of an evaluation, where it can save the last completed step. At the start there
is nothing to save yet, so `Interrupted` is raised immediately.
"""

import os
import signal
from contextlib import suppress
from types import FrameType, TracebackType

from mssr_rl import stdio

# Ctrl-C, kill, a closed terminal, Ctrl-\, the early warnings of a batch system (Slurm's --signal),
# and the end of the CPU time limit.
SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
# When a terminal closes, both the terminal and its shell send SIGHUP. After the CPU time limit the
# kernel sends SIGXCPU every second. So a second one of these does not mean "end at once".
REPEATED = frozenset({signal.SIGHUP, signal.SIGXCPU})
UNBEGUN = "nothing was started, and the same command starts it"
SHOW_CURSOR = b"\x1b[?25h"

_come_twice = False


class Interrupted(KeyboardInterrupt):
    """Raised when a signal ends the run."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """The exit code: 0 after SIGTERM, else 128 plus the signal's number, as in shells.

        SIGTERM gives 0, because the run saved its state as the sender wanted.
        """
        return 0 if self.signum == signal.SIGTERM else 128 + self.signum


class Interrupt:
    """A context manager inside which a signal makes the next `check` raise `Interrupted`.

    With `at_once`, a signal raises immediately until `hold` is called. Use it while there is
    nothing to save. The text `at_once` describes this state at the end of the message.
    """

    def __init__(self, at_once: str | None = None) -> None:
        self._at_once = at_once
        self.signum: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interrupt":
        stdio.open_closed()  # before any file is opened: the handler writes to descriptor 2
        for signum in SIGNALS:
            if signum == signal.SIGHUP and signal.getsignal(signum) == signal.SIG_IGN:
                continue  # nohup
            self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)  # type: ignore[arg-type]

    def hold(self) -> None:
        """Make signals wait for the next `check` from now on, because there is something to save.

        It also sets the handlers again, because a library such as Ray may have replaced them.
        """
        self._at_once = None
        if self.signum is None:
            for signum in self._before:
                signal.signal(signum, self._note)

    def check(self) -> None:
        """Raise `Interrupted` if a signal was received."""
        if self.signum is not None:
            rest = f"; {self._at_once}" if self._at_once else ""
            message = f"ended by {signal.Signals(self.signum).name}{rest}"
            raise Interrupted(message, self.signum)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        # From now on the kernel handles the signals, so a second one works even if Python hangs.
        for every in self._before:
            again = every in REPEATED or (_come_twice and every == signum)
            signal.signal(every, signal.SIG_IGN if again else signal.SIG_DFL)
        self.signum = signum
        if self._at_once:
            self.check()
        insists = "SIGTERM" if signum in REPEATED else "a second one"
        message = (
            f"\n{signal.Signals(signum).name}: saving a checkpoint; {insists} leaves at once\n"
        )
        with suppress(OSError):  # the terminal may be gone
            os.write(2, (SHOW_CURSOR if os.isatty(2) else b"") + message.encode())


def come_twice() -> None:
    """Treat two signals of the same number as one; without this, the second ends the run at once.

    A comparison passes its signals on to its runs, and a batch system may also signal the runs
    directly.
    """
    global _come_twice  # noqa: PLW0603
    _come_twice = True
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it comes from a program, not from a terminal
