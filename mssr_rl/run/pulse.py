"""Writes heartbeat.json: the current phase of a run, for other processes.

`trainer` enters a phase before its work starts. `stalls` uses the pulse to notice a phase that does
not end, and `status` reads the file. The file is replaced by renaming, without waiting for the
disk, because it matters only while the run is alive.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mssr_rl import files

# During these phases the engine holds the policy of the last completed step.
POLICY_AT_REST = frozenset({"start", "evaluate", "rollout", "reward", "logprob"})


class Beat(NamedTuple):
    """The current phase of a run, its last completed step, and the time when the phase began."""

    phase: str
    step: int  # the last completed step
    since: float  # start time on the monotonic clock [s]


class Pulse:
    """Keeps the current phase of a run in memory and in heartbeat.json."""

    def __init__(self, folder: Path, steps: int) -> None:
        self._path = folder / "heartbeat.json"
        self._steps = steps
        self.beat = Beat("start", 0, time.monotonic())

    def enter(self, phase: str, step: int, rollouts: int) -> None:
        """Record that a phase begins, in memory and on disk."""
        self.beat = Beat(phase, step, time.monotonic())
        content = {
            "phase": phase,
            "step": step,
            "steps": self._steps,
            "rollouts": rollouts,
            "pid": os.getpid(),
            "at": time.time(),  # seconds since 1970, because other processes compare it
        }
        with suppress(OSError):  # the next checkpoint reports a full disk
            files.write_bytes(self._path, json.dumps(content).encode(), durable=False)

    def alive(self) -> None:
        """Set the file's modification time to now, during a long phase.

        `runlock` on another host takes an old file as a sign that the run is dead.
        """
        with suppress(OSError):
            os.utime(self._path)

    @property
    def policy_at_rest(self) -> bool:
        """Whether the engine holds the policy of the last completed step."""
        return self.beat.phase in POLICY_AT_REST
