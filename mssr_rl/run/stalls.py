"""A watch over the phases of a run: one that takes too long is shown, then stopped.

After `fault.stall_seconds` every thread's stack goes to stacks.txt. After `fault.stop_seconds` the
main thread is sent a signal whose handler raises `Stalled`; if it is too deep in C code to notice,
faulthandler's own thread, which needs no interpreter lock, writes the stacks and ends the process.
Time in which the process was stopped or the machine asleep does not count.
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

STALLED = signal.SIGURG  # of all signals the one that nobody sends and that does no harm
TICK = 0.2  # [s] between looks, at the most
BUSY = 0.1  # of the time between two looks: so much work means that the process was not asleep
RENEWED = 60.0  # [s] between renewals of the heartbeat's time; `runlock` waits for ten
GRACE = 15.0  # [s] the main thread has to notice the signal


class Stalled(RunFailed):
    """A phase did not come to an end."""


class Awake:
    """How long a phase has lasted, without the time in which the process could not run [s].

    A process that was stopped (SIGSTOP, Ctrl-Z) or whose machine slept has looked late and has used
    no processor meanwhile; one that only kept its other threads waiting has.
    """

    def __init__(self) -> None:
        self._beat: Beat | None = None
        self._lasted = 0.0
        self._looked, self._worked = time.monotonic(), time.process_time()

    def since(self, beat: Beat) -> float:
        """Look again; `beat` is the phase's entry."""
        now, worked = time.monotonic(), time.process_time()
        gap = now - max(self._looked, beat.since)
        asleep = gap > 5 * TICK and worked - self._worked < BUSY * gap
        if beat is not self._beat:
            self._beat, self._lasted = beat, 0.0
        self._lasted += TICK if asleep else gap
        self._looked, self._worked = now, worked
        return self._lasted


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
        self._doomed: Beat | None = None  # the phase that is to be stopped

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
        self._say(f"stalled? {words}; where every thread is stands in {self._stacks}")

    def _stop(self, beat: Beat) -> None:
        """Ask the main thread, then wait for it, whichever way it goes."""
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
            return  # it came to its end at the last moment, or the signal is not ours
        raise Stalled(
            f"the phase {beat.phase} after step {beat.step} did not end within "
            f"fault.stop_seconds={limit:g}; where it was stands in {self._stacks}. "
            "Raise the limit if such a phase may take so long"
        )
