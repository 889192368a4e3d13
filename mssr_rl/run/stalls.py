"""A watch over the phases of a run: one that takes too long is shown, then stopped.

After `fault.stall_seconds` every thread's stack goes to stacks.txt. After `fault.stop_seconds` the
main thread is sent a signal whose handler raises `Stalled`; if it is too deep in C code to notice,
faulthandler's own thread, which needs no interpreter lock, writes the stacks and ends the process.
"""

import faulthandler
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType

from mssr_rl.config import FaultConfig
from mssr_rl.errors import RunFailed
from mssr_rl.run.pulse import Beat, Pulse

STALLED = signal.SIGUSR1
TICK = 0.2  # [s] between looks, at the most
RENEWED = 60.0  # [s] between renewals of the heartbeat's time; `runlock` waits for ten
GRACE = 15.0  # [s] the main thread has to notice the signal


class Stalled(RunFailed):
    """A phase did not come to an end."""


class Watch:
    """While entered, looks at `pulse` from a thread of its own."""

    def __init__(
        self, pulse: Pulse, limits: FaultConfig, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._pulse, self._limits, self._say = pulse, limits, say
        self._stacks = folder / "stacks.txt"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._before: object = None

    def __enter__(self) -> "Watch":
        self._before = signal.signal(STALLED, self._raise)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        signal.signal(STALLED, self._before)  # type: ignore[arg-type]

    def _look(self) -> None:
        shown: Beat | None = None
        renewed = time.monotonic()
        while not self._over.wait(TICK):
            if time.monotonic() - renewed >= RENEWED:
                self._pulse.alive()
                renewed = time.monotonic()
            beat = self._pulse.beat
            age = time.monotonic() - beat.since
            if 0 < self._limits.stall_seconds <= age and shown != beat:
                shown = beat
                self._show(beat, age)
            if 0 < self._limits.stop_seconds <= age:
                self._stop(beat)

    def _show(self, beat: Beat, age: float) -> None:
        words = f"the phase {beat.phase} after step {beat.step} has lasted {age:.0f} s"
        with self._stacks.open("a", encoding="utf-8") as file:
            file.write(f"{words}; all stacks:\n\n")
            file.flush()
            faulthandler.dump_traceback(file)
            file.write("\n")
        self._say(f"stalled? {words}; where every thread is stands in {self._stacks}")

    def _stop(self, beat: Beat) -> None:
        """Ask the main thread, then wait for it, whichever way it goes."""
        with self._stacks.open("a", encoding="utf-8") as file:
            faulthandler.dump_traceback_later(GRACE, exit=True, file=file)
            main = threading.main_thread().ident
            assert main is not None
            signal.pthread_kill(main, STALLED)
            while self._pulse.beat == beat and not self._over.wait(TICK):
                pass
            faulthandler.cancel_dump_traceback_later()

    def _raise(self, _signum: int, _frame: FrameType | None) -> None:
        beat, limit = self._pulse.beat, self._limits.stop_seconds
        if time.monotonic() - beat.since < limit:
            return  # it came to its end at the last moment
        raise Stalled(
            f"the phase {beat.phase} after step {beat.step} did not end within "
            f"fault.stop_seconds={limit:g}; where it was stands in {self._stacks}. Raise the limit "
            "if such a phase may take so long"
        )
