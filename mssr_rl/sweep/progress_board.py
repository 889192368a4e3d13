"""Show the progress of a comparison: a table of its arms on a terminal, else plain lines.

Everything is written to stderr, as for a single run (`mssr_rl.run.progress`).
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mssr_rl.outward import plain
from mssr_rl.run.progress import RunProgress, terminal
from mssr_rl.sweep.matrix import Arm, Matrix, PlannedRun
from mssr_rl.sweep.standing import RunStanding

Look = Callable[[], Mapping[PlannedRun, RunStanding]]
EVERY = 30.0  # [s] between two plain lines
REDRAW = 1.0  # [s] between two updates of the table
GLYPHS = {"done": "●", "collapsed": "✗", "busy": "◐", "failed": "!", "dropped": "–"}


class Board(Protocol):
    """The display on which the runner shows the progress of a comparison."""

    def say(self, line: str) -> None:
        """Print a line that stays on the screen."""
        ...

    def show(self, look: Look) -> None:
        """Show the state of the runs.

        The function `look` returns this state; it is called only if an update is due.
        """
        ...

    def finished(self, run: PlannedRun, standing: RunStanding) -> None:
        """Show that a run has ended, and in which state."""
        ...

    def close(self) -> None:
        """Restore the terminal."""
        ...


class Tally:
    """The progress of all runs, and an estimate of the time left."""

    def __init__(self, matrix: Matrix, finished: Mapping[PlannedRun, RunStanding]) -> None:
        self.matrix = matrix
        self.standings = dict(finished)
        self.pace = RunProgress(self._budget())
        self._looked = -1e9

    def due(self, seconds: float) -> bool:
        """Return whether the last update is at least `seconds` ago.

        If so, the current time becomes the time of the last update.
        """
        if time.monotonic() - self._looked < seconds:
            return False
        self._looked = time.monotonic()
        return True

    def take(self, standings: Mapping[PlannedRun, RunStanding]) -> None:
        """Store the new states of runs, and update the estimate of the time left."""
        self.standings |= standings
        self.pace.budget = self._budget()
        self.pace.at(sum(standing.rollouts for standing in self.standings.values()))

    def _budget(self) -> int:
        """Return the rollouts that all runs may spend, without the runs that the race dropped."""
        dropped = {run for run, standing in self.standings.items() if standing.state == "dropped"}
        runs = (run for run in self.matrix.runs if run not in dropped)
        return sum(run.config.budget.rollouts for run in runs)

    def line(self) -> str:
        """Return the progress of all runs in one line."""
        states = [standing.state for standing in self.standings.values()]
        done = states.count("done") + states.count("collapsed")
        runs = len(self.matrix.runs) - states.count("dropped")
        return (
            f"{done} of {runs} runs finished, {self.pace.spent:,} of "
            f"{self.pace.budget:,} rollouts, {self.pace.eta()} left"
        )


def ending(run: PlannedRun, standing: RunStanding) -> str:
    """Return a line about a run that ended: its state, name, accuracy, time and reason."""
    accuracy = "" if standing.accuracy is None else f", val {standing.accuracy:.1%} greedy"
    why = "" if standing.state == "done" else f": {standing.reason}"
    return f"{standing.state:<9} {run.name}{accuracy}, {standing.seconds:.0f} s{why}"


class PlainBoard:
    """A display that prints plain lines, for a log file."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def say(self, line: str) -> None:
        """Print the line."""
        sys.stderr.write(f"{plain(line)}\n")
        sys.stderr.flush()

    def show(self, look: Look) -> None:
        """Print the progress in one line, at most once in `EVERY` seconds."""
        if self._tally.due(EVERY):
            self._tally.take(look())
            self.say(self._tally.line())

    def finished(self, run: PlannedRun, standing: RunStanding) -> None:
        """Print one line about the run that ended."""
        self._tally.take({run: standing})
        self.say(ending(run, standing))

    def close(self) -> None:
        """Do nothing: there is nothing to clean up."""


class LiveBoard:
    """A display that draws the table again in the same place; printed lines appear above it."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self._tally = tally
        self._live = Live(console=console, auto_refresh=False, transient=True)
        self._live.start()

    def say(self, line: str) -> None:
        """Print the line above the table."""
        self._live.console.print(Text(plain(line)))

    def show(self, look: Look) -> None:
        """Draw the table again, at most once in `REDRAW` seconds."""
        if self._tally.due(REDRAW):
            self._tally.take(look())
            self._live.update(picture(self._tally), refresh=True)

    def finished(self, run: PlannedRun, standing: RunStanding) -> None:
        """Store the run's state for the table, and print a line above the table."""
        self._tally.take({run: standing})
        self.say(ending(run, standing))

    def close(self) -> None:
        """Remove the table from the terminal."""
        self._live.stop()


def picture(tally: Tally) -> Table:
    """Return the table of the progress, with one row per arm."""
    table = Table(caption=tally.line(), caption_justify="left")
    for name in ("arm", "runs", "", "rollouts", "reward", "val"):
        table.add_column(name, justify="left" if name in ("arm", "runs", "") else "right")
    for arm in tally.matrix.arms:
        table.add_row(*_row(tally, arm))
    return table


def _row(tally: Tally, arm: Arm) -> Sequence[Text | ProgressBar]:
    runs = [run for run in tally.matrix.runs if run.arm == arm]
    standings = [tally.standings.get(run, RunStanding("absent")) for run in runs]
    spent = sum(standing.rollouts for standing in standings)
    budget = sum(run.config.budget.rollouts for run in runs)
    return (
        Text(plain(arm.label)),
        Text("".join(GLYPHS.get(standing.state, "·") for standing in standings)),
        ProgressBar(total=budget, completed=spent, width=24),
        Text(f"{spent:,}"),
        Text(_mean([standing.reward for standing in standings], ".3f")),
        Text(_mean([standing.accuracy for standing in standings], ".1%")),
    )


def _mean(values: Sequence[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return format(sum(known) / len(known), form) if known else "–"


def board(tally: Tally) -> Board:
    """Return a live board if stderr is a terminal, else a plain one."""
    console = terminal()
    return PlainBoard(tally) if console is None else LiveBoard(tally, console)
