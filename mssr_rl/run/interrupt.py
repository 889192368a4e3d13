"""Ctrl-C and SIGTERM: the first asks the run to save and end, the second ends it at once.

The handler only notes the request; the trainer looks at it between the phases of a step and between
the batches of an evaluation, where the last completed step can be saved.
"""

import os
import signal
import sys
from types import FrameType, TracebackType

from mssr_rl.errors import RunFailed

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(RunFailed):
    """Somebody asked the run to end."""

    def __init__(self, message: str, signum: int) -> None:
        super().__init__(message)
        self.signum = signum

    @property
    def exit_code(self) -> int:
        """130 after Ctrl-C, as shells expect; 0 after SIGTERM: the run was asked and did save."""
        return 130 if self.signum == signal.SIGINT else 0


class Interrupt:
    """While entered, SIGINT and SIGTERM raise `Interrupted` at the next `check()`."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Interrupt":
        for signum in SIGNALS:
            self._before[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        # From here on the kernel handles both: a second signal needs no Python to be obeyed.
        for every in SIGNALS:
            signal.signal(every, signal.SIG_DFL)
        self.signum = signum
        show_cursor = b"\x1b[?25h" if sys.stderr.isatty() else b""
        name = signal.Signals(signum).name
        line = f"\n{name}: saving a checkpoint; a second one leaves at once\n".encode()
        os.write(2, show_cursor + line)

    def check(self) -> None:
        """Raise `Interrupted` if a signal has come."""
        if self.signum is not None:
            raise Interrupted(f"ended by {signal.Signals(self.signum).name}", self.signum)
