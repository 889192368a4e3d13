"""What a run is doing right now, for whoever looks from outside: heartbeat.json.

`trainer` enters a phase before it does the work; `stalls` reads the same pulse and notices a phase
that does not end, `status` reads the file. A beat is written aside and renamed, never waited for:
what it says matters only while the run lives.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mssr_rl import files

# While one of these lasts, the engine holds the policy of the last completed step.
POLICY_AT_REST = frozenset({"start", "evaluate", "rollout", "reward", "logprob"})


class Beat(NamedTuple):
    """One entry into a phase."""

    phase: str
    step: int  # last completed
    since: float  # monotonic [s]


class Pulse:
    """The newest beat, in memory and on disk."""

    def __init__(self, folder: Path, steps: int) -> None:
        self._path = folder / "heartbeat.json"
        self._steps = steps
        self.beat = Beat("start", 0, time.monotonic())

    def enter(self, phase: str, step: int, rollouts: int) -> None:
        """A phase begins."""
        self.beat = Beat(phase, step, time.monotonic())
        content = {
            "phase": phase,
            "step": step,
            "steps": self._steps,
            "rollouts": rollouts,
            "pid": os.getpid(),
            "at": time.time(),  # seconds since 1970, to be compared with another process's clock
        }
        with suppress(OSError):  # a full disk is the checkpoint's to report
            files.write_bytes(self._path, json.dumps(content).encode(), durable=False)

    def alive(self) -> None:
        """Renew the file's time within a long phase: a lock seen from another host asks for it."""
        with suppress(OSError):
            os.utime(self._path)

    @property
    def policy_at_rest(self) -> bool:
        """Whether the engine still holds the policy of the last completed step."""
        return self.beat.phase in POLICY_AT_REST
