"""Watches the phases of a run: a phase that takes too long is reported, then stopped.

After `fault.stall_seconds` the stacks of all threads are written to stacks.txt. After
`fault.stop_seconds` the main thread gets a signal whose handler raises `Stalled`. The main thread
may be busy in C code and not react. Then the thread of faulthandler, which needs no interpreter
lock, writes the stacks and ends the process. Time does not count while the process was stopped or
the machine asleep.
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

STALLED = signal.SIGURG  # nobody else sends this signal, and by default it does nothing
TICK = 0.2  # [s] time between two checks
BUSY = 0.1  # a process that used this share of the time since the last check was not asleep
RENEWED = 60.0  # [s] between renewals of the heartbeat's time; `runlock` waits for ten minutes
GRACE = 15.0  # [s] time for the main thread to react to the signal


class Stalled(RunFailed):
    """Raised when a phase does not end in time."""


class Awake:
    """Measures how long a phase has lasted [s], without time in which the process could not run.

    A check that comes late has two possible reasons. The process was stopped (SIGSTOP, Ctrl-Z) or
    the machine slept: then the process used no CPU time meanwhile, and this time does not count.
    Or only this thread had to wait: then the process used CPU time, and the time counts.
    """

    def __init__(self) -> None:
        self._beat: Beat | None = None
        self._lasted = 0.0
        self._looked, self._worked = time.monotonic(), time.process_time()

    def since(self, beat: Beat) -> float:
        """Return how long the phase that began with `beat` has lasted [s]."""
        now, worked = time.monotonic(), time.process_time()
        gap = now - max(self._looked, beat.since)
        asleep = gap > 5 * TICK and worked - self._worked < BUSY * gap
        if beat is not self._beat:
            self._beat, self._lasted = beat, 0.0
        self._lasted += TICK if asleep else gap
        self._looked, self._worked = now, worked
        return self._lasted


class Watch:
    """A context manager that watches `pulse` in a separate thread."""

    def __init__(
        self, pulse: Pulse, limits: FaultConfig, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._pulse, self._limits, self._say = pulse, limits, say
        self._stacks = folder / "stacks.txt"
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self._before: object = None
        self._doomed: Beat | None = None  # the phase to stop

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
        awake = Awake()
        while not self._over.wait(TICK):
            if time.monotonic() - renewed >= RENEWED:
                self._pulse.alive()
                renewed = time.monotonic()
            beat = self._pulse.beat
            age = awake.since(beat)
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
        self._say(f"stalled? {words}; {self._stacks} shows where every thread is")

    def _stop(self, beat: Beat) -> None:
        """Signal the main thread, then wait until the phase or the process ends."""
        self._doomed = beat
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
        if beat is not self._doomed:
            return  # the phase ended at the last moment, or somebody else sent the signal
        raise Stalled(
            f"the phase {beat.phase} after step {beat.step} did not end within "
            f"fault.stop_seconds={limit:g}; {self._stacks} shows where it was. "
            "Raise the limit if such a phase may take so long"
        )
