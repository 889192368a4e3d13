"""Signals that ask a run to end: the first asks it to save and end, a second ends it at once.

The handler only notes the request; the trainer looks at it between the phases of a step and between
the batches of an evaluation, where the last completed step can be saved. At the start, when there
is nothing to save yet, `Interrupted` is raised wherever the program is.
"""

import os
import signal
from contextlib import suppress
from types import FrameType, TracebackType

from mssr_rl import stdio

# Ctrl-C, kill, a terminal that is closed, Ctrl-\, a batch system's early warnings (Slurm's
# --signal), and CPU time that is spent.
SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
# A closing terminal sends one to the job, and its shell another; spent CPU time sends one a second.
# So a second one of these insists on nothing.
REPEATED = frozenset({signal.SIGHUP, signal.SIGXCPU})
UNBEGUN = "nothing was begun, and the same command starts it"
SHOW_CURSOR = b"\x1b[?25h"

_come_twice = False


class Interrupted(KeyboardInterrupt):
    """Somebody asked the run to end."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """0 after SIGTERM: the run was asked and did save. Else 128 + n, as shells have it."""
        return 0 if self.signum == signal.SIGTERM else 128 + self.signum


class Interrupt:
    """While entered, a signal raises `Interrupted` at the next `check`.

    With `at_once` it does so wherever the program is, up to a call of `hold`: where there is
    nothing to save. The text is the rest of the sentence: what is true then.
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
        """From here on there is something to save: a signal waits for the next `check`.

        Takes the handlers back where a library has set its own meanwhile, as Ray does.
        """
        self._at_once = None
        if self.signum is None:
            for signum in self._before:
                signal.signal(signum, self._note)

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self.signum is not None:
            rest = f"; {self._at_once}" if self._at_once else ""
            said = f"ended by {signal.Signals(self.signum).name}{rest}"
            raise Interrupted(said, self.signum)

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        # From here on the kernel handles all: a second signal needs no Python to be obeyed.
        for every in self._before:
            again = every in REPEATED or (_come_twice and every == signum)
            signal.signal(every, signal.SIG_IGN if again else signal.SIG_DFL)
        self.signum = signum
        if self._at_once:
            self.check()
        insists = "SIGTERM" if signum in REPEATED else "a second one"
        said = f"\n{signal.Signals(signum).name}: saving a checkpoint; {insists} leaves at once\n"
        with suppress(OSError):  # nobody may be there to read it
            os.write(2, (SHOW_CURSOR if os.isatty(2) else b"") + said.encode())


def come_twice() -> None:
    """Expect every signal twice: from whoever started this process, and from who signals them all.

    A comparison passes on what it gets; a batch system may tell the runs of it as well. One of the
    same number is then no second one.
    """
    global _come_twice  # noqa: PLW0603
    _come_twice = True
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # it comes from a program, not from a terminal
