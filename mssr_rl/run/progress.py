"""Shows the progress of a run: a live display on a terminal, else one plain line per step.

Everything goes to stderr, because stdout is for data. Text of models and file names is printed as
it is, never as markup. rich respects `NO_COLOR`.
"""

import sys
import time
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mssr_rl.metric_names import (
    BUDGET_ROLLOUTS,
    ENTROPY,
    GRAD_NORM,
    KL_STEP,
    LENGTH_MEAN,
    REWARD_MEAN,
    STEP_SECONDS,
)
from mssr_rl.outward import plain
from mssr_rl.run.scoring import Score, score_line

# name on the screen, key of metrics.jsonl, format
SHOWN = (
    ("reward", REWARD_MEAN, ".3f"),
    ("entropy", ENTROPY, ".3f"),
    ("kl", KL_STEP, ".4f"),
    ("grad", GRAD_NORM, ".2f"),
    ("length", LENGTH_MEAN, ".1f"),
)


class Display(Protocol):
    """The output of the trainer for the person who runs it."""

    def say(self, line: str) -> None:
        """Print a line that stays on the screen."""
        ...

    def step(self, metrics: Mapping[str, float]) -> None:
        """Show the metrics of a finished training step."""
        ...

    def score(self, score: Score) -> None:
        """Show the score of a finished evaluation."""
        ...

    def close(self) -> None:
        """Restore the terminal."""
        ...


class RunProgress:
    """The progress of a run in rollouts, and an estimate of the time left."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.spent = 0
        self._first: tuple[int, float] | None = None

    def at(self, rollouts: int) -> None:
        """Set the rollouts spent so far; the speed is measured from the first call on."""
        self.spent = rollouts
        self._first = self._first or (rollouts, time.monotonic())

    def eta(self) -> str:
        """Return the time left as text, such as "1h05m" or "3m20s"; "-" while unknown."""
        if self._first is None or self.spent <= self._first[0]:
            return "-"
        pace = (time.monotonic() - self._first[1]) / (self.spent - self._first[0])
        minutes, seconds = divmod(round(pace * (self.budget - self.spent)), 60)
        return (
            f"{minutes // 60}h{minutes % 60:02d}m" if minutes >= 60 else f"{minutes}m{seconds:02d}s"
        )


class PlainDisplay:
    """Prints plain lines, for a log file."""

    def __init__(self, budget: int) -> None:
        self._pace = RunProgress(budget)

    def say(self, line: str) -> None:
        """Print the line."""
        sys.stderr.write(f"{plain(line)}\n")
        sys.stderr.flush()

    def step(self, metrics: Mapping[str, float]) -> None:
        """Print one line: the step, the main metrics, the duration and the time left."""
        self._pace.at(int(metrics[BUDGET_ROLLOUTS]))
        numbers = "  ".join(_numbers(metrics))
        self.say(
            f"step {int(metrics['step'])}  {numbers}  "
            f"({metrics[STEP_SECONDS]:.1f} s, {self._pace.eta()} left)"
        )

    def score(self, score: Score) -> None:
        """Print one line."""
        self.say(score_line(score))

    def close(self) -> None:
        """Do nothing: there is nothing to clean up."""


class LiveDisplay:
    """Draws a budget bar and the newest metrics in place; printed lines scroll above it."""

    def __init__(self, budget: int, console: Console) -> None:
        self._pace = RunProgress(budget)
        self._metrics: Mapping[str, float] = {}
        self._score: Score | None = None
        self._live = Live(
            console=console, get_renderable=self._picture, refresh_per_second=2, transient=True
        )
        self._live.start()

    def say(self, line: str) -> None:
        """Print the line above the display."""
        self._live.console.print(Text(plain(line)))

    def step(self, metrics: Mapping[str, float]) -> None:
        """Show the newest metrics."""
        self._pace.at(int(metrics[BUDGET_ROLLOUTS]))
        self._metrics = metrics

    def score(self, score: Score) -> None:
        """Print the score, and keep the newest validation score in the display."""
        if score.split == "val":
            self._score = score
        self.say(score_line(score))

    def close(self) -> None:
        """Remove the display and show the cursor again."""
        self._live.stop()

    def _picture(self) -> Group:
        spent, budget = self._pace.spent, self._pace.budget
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            Text(f"step {int(self._metrics.get('step', 0))}"),
            ProgressBar(total=budget, completed=spent, width=30),
            Text(f"{spent:,} of {budget:,} rollouts, {self._pace.eta()} left"),
        )
        numbers = _numbers(self._metrics)
        if self._score is not None:
            sampled = f"mean@{self._score.samples} {self._score.accuracy_sampled:.1%}"
            numbers.append(f"val {self._score.accuracy:.1%} greedy, {sampled}")
        return Group(bar, Text("  ".join(numbers)))


def _numbers(metrics: Mapping[str, float]) -> list[str]:
    """Return the main metrics of a step as text; a skipped step has fewer."""
    return [f"{name} {metrics[key]:{form}}" for name, key, form in SHOWN if key in metrics]


def display(budget: int) -> Display:
    """Return a live display if stderr is a terminal, else a plain one."""
    console = terminal()
    return PlainDisplay(budget) if console is None else LiveDisplay(budget, console)


def terminal() -> Console | None:
    """Return the terminal on stderr; None if it is none, or cannot move its cursor.

    Notebooks set FORCE_COLOR, and rich then takes a pipe for a terminal.
    """
    console = Console(stderr=True)
    moves = sys.stderr.isatty() and console.is_terminal and not console.is_dumb_terminal
    return console if moves else None
