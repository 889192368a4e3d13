"""`status`: every run below a folder, from what they leave on disk: no process is asked.

run.json says how a run ended, the lock whether its owner lives, heartbeat.json what it does and
since when. A run whose run.json says `running` while its owner is dead has died without a word.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import outward, untrusted
from mssr_rl.run import runlock

DEPTH = 3  # folders below the one that is looked through: comparisons/NAME/runs/ARM
SLOW = 600.0  # [s] in one phase: worth a look
WIDEST = 60  # characters of a cell
BEYOND = 1e15  # no time and no count is as large
COLUMNS = ("run", "state", "step", "rollouts", "phase", "last beat")


class Status(NamedTuple):
    """One run, as it looks from outside."""

    name: str
    state: str  # done, interrupted, collapsed, failed, running, slow, died
    step: str
    rollouts: str
    phase: str
    age: str

    @property
    def alive(self) -> bool:
        """Whether somebody still works on it."""
        return self.state in ("running", "slow")


def status_table(folders: Iterable[Path]) -> Iterator[str]:
    """A table, a line for each run."""
    found = [status(run, folder) for folder in folders for run in runs(folder)]
    if not found:
        yield f"no run is in {' or '.join(str(folder) for folder in folders)}"
        return
    widths = [max(len(row[i]) for row in (COLUMNS, *found)) for i in range(len(COLUMNS))]
    for row in (COLUMNS, *found):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def runs(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Run directories below `folder`, oldest first; links that lead in a circle end at `DEPTH`."""
    if (folder / "run.json").is_file():
        yield folder
    elif depth and folder.is_dir():
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
        for path in sorted(inner, key=lambda path: path.stat().st_mtime):
            yield from runs(path, depth - 1)


def status(run: Path, root: Path) -> Status:
    """What is known of one run."""
    known, beat = _object(run / "run.json"), _object(run / "heartbeat.json")
    at = _number(beat.get("at"))
    age = None if at is None else max(0.0, time.time() - at)
    state = str(known.get("status", "running"))
    if state == "running":
        state = _of_one_that_runs(runlock.owner(run), age)
    steps = beat.get("steps", known.get("steps", "?"))
    rollouts = _number(beat.get("rollouts", 0))
    return Status(
        name=_cell(run.relative_to(root).as_posix() if run != root else run.name),
        state=_cell(state),
        step=_cell(f"{beat.get('step', 0)} of {steps}"),
        rollouts="?" if rollouts is None else f"{rollouts:,.0f}",
        phase=_cell(beat.get("phase", "start")) if state in ("running", "slow", "died") else "-",
        age=_ago(age),
    )


def _of_one_that_runs(owner: int | None, age: float | None) -> str:
    if owner is None:
        return "died"
    return "slow" if age is not None and age > SLOW else "running"


def _ago(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    if seconds < 100:
        return f"{seconds:.0f} s ago"
    hours = seconds / 3600
    return f"{seconds / 60:.0f} min ago" if hours < 2 else f"{hours:.0f} h ago"


def _cell(thing: object) -> str:
    """A text from a file anybody may have written, on one line and harmless to a terminal."""
    return " ".join(outward.plain(str(thing)).split())[:WIDEST]


def _number(found: object) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if abs(found) < BEYOND else None  # neither inf nor NaN is less


def _object(path: Path) -> dict[str, Any]:
    """A JSON object, or nothing of one that is not there or not whole."""
    try:
        return untrusted.read_object(path)
    except (FileNotFoundError, untrusted.Unusable):
        return {}
