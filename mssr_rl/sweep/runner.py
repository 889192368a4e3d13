"""Train the runs of a comparison, several at once, and handle runs that end early.

A finished run is kept, an interrupted run is continued, and a crashed run is tried once more. The
state of a run is only in its folder (`standing`). So nothing is lost if this process dies.
"""

import signal
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

from mssr_rl.comparison import race
from mssr_rl.run.interrupt import Interrupted
from mssr_rl.sweep import process
from mssr_rl.sweep.folder import Folder
from mssr_rl.sweep.matrix import Matrix, PlannedRun, in_turn
from mssr_rl.sweep.process import Launch, Process
from mssr_rl.sweep.progress_board import Board
from mssr_rl.sweep.standing import FINISHED, RunStanding, clear_stillborn, look

NAP = 0.25  # [s] between two checks of the processes


class Share(NamedTuple):
    """The number of parallel runs, and the threads of each."""

    jobs: int  # runs at once
    threads: int  # threads of each run


class Crew:
    """The running processes, and the runs that wait to be started."""

    def __init__(self, folder: Folder, matrix: Matrix, board: Board, launch: Launch) -> None:
        self._folder, self._board, self._launch = folder, board, launch
        self._out: set[tuple[str, int]] = set()  # (arm, seed) of runs that the race dropped
        left = [run for run in matrix.runs if look(folder.of(run)).state not in FINISHED]
        self._waiting = deque(in_turn(left))
        self._working: dict[PlannedRun, Process] = {}
        self._attempts: Counter[str] = Counter()
        self.failed: dict[PlannedRun, str] = {}

    def work(self, share: Share, poll: Callable[[], None]) -> None:
        """Train all runs and return when each is finished, failed or dropped.

        `poll` is called regularly. If it raises, all processes are told to save and end.
        """
        self._race()
        try:
            while self._waiting or self._working:
                poll()
                self._collect()
                self._fill(share)
                self._board.show(self.standings)
                time.sleep(NAP)
        except BaseException as stop:
            self._dismiss(stop.signum if isinstance(stop, Interrupted) else signal.SIGTERM)
            raise
        self._board.show(self.standings)

    def standings(self) -> dict[PlannedRun, RunStanding]:
        """Return the state of all runs that are running or waiting."""
        return {run: look(self._folder.of(run)) for run in (*self._working, *self._waiting)}

    def _fill(self, share: Share) -> None:
        for _ in range(len(self._waiting)):
            if len(self._working) >= share.jobs:
                return
            run = self._waiting.popleft()
            if look(self._folder.of(run)).state == "busy":
                # The run still works for a comparison that was killed, and is about to save.
                self._waiting.append(run)
            else:
                self._begin(run, share.threads)

    def _begin(self, run: PlannedRun, threads: int) -> None:
        clear_stillborn(self._folder.of(run))
        before = look(self._folder.of(run))
        resumed = [] if before.state == "absent" else ["resume=true"]
        words = [*run.words, f"name={run.name}", f"runs_dir={self._folder.runs}", *resumed]
        self._attempts[run.name] += 1
        self._working[run] = self._launch(words, self._folder.log(run), threads)
        self._board.say(f"{'continues' if resumed else 'starts':<9} {run.name}")

    def _collect(self) -> None:
        for run, child in list(self._working.items()):
            code = child.poll()
            if code is None:
                continue
            del self._working[run]
            self._came_back(run, code)

    def _came_back(self, run: PlannedRun, code: int) -> None:
        standing = look(self._folder.of(run))
        end = process.meaning(code, standing, self._attempts[run.name])
        if end == "finished":
            self._board.finished(run, standing)
            self._race()
            return
        why = process.last_words(self._folder.log(run))
        if (run.arm.label, run.seed) in self._out:
            self._drop(run)
        elif end == "again":
            self._board.say(f"crashed   {run.name} (exit {code}), tried once more: {why}")
            self._waiting.appendleft(run)
        else:
            self._board.finished(run, RunStanding("failed", f"exit {code}: {why}"))
            self.failed[run] = why

    def _race(self) -> None:
        """Drop the waiting runs that the race rules out; running processes are not stopped."""
        self._out = race.ruled_out_in(self._folder.path)
        for run in [run for run in self._waiting if (run.arm.label, run.seed) in self._out]:
            self._waiting.remove(run)
            self._drop(run)

    def _drop(self, run: PlannedRun) -> None:
        self._board.finished(run, RunStanding("dropped", "its arm is out of the race"))

    def _dismiss(self, signum: int) -> None:
        """Send the signal to every process, so that it saves, and wait until all have ended."""
        for child in self._working.values():
            if child.poll() is None:
                child.send_signal(signum)
        for child in self._working.values():
            child.wait()
