"""`status`: shows every run below a folder. It reads files only, and contacts no process.

run.json says how a run ended. The lock says whether its owner is alive, and heartbeat.json names
the current phase. If run.json says `running` and the owner is dead, the run died without recording
an end.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import outward, untrusted
from mssr_rl.run import runlock
from mssr_rl.run_streams import any_rows
from mssr_rl.text_table import aligned

DEPTH = 3  # levels of folders that are searched: comparisons/NAME/runs/ARM
SLOW = 600.0  # [s] a run that is in one phase for longer is shown as slow
WIDEST = 60  # characters of a cell
BEYOND = 1e15  # larger numbers are not plausible times or counts
EVALUATION = "evaluation"  # the `kind` in run.json of what `eval` makes; a training run has none
COLUMNS = ("run", "state", "step", "rollouts", "phase", "last beat")


class Status(NamedTuple):
    """The state of one run, read from its files."""

    name: str
    state: str  # done, interrupted, collapsed, failed, running, slow, died
    step: str
    rollouts: str
    phase: str
    age: str

    @property
    def alive(self) -> bool:
        """Whether a live process is working on the run."""
        return self.state in ("running", "slow")


def status_table(folders: Iterable[Path]) -> Iterator[str]:
    """Yield a table with one line per run."""
    statuses = [status(run, folder) for folder in folders for run in runs(folder)]
    if not statuses:
        yield f"no run is in {' or '.join(str(folder) for folder in folders)}"
        return
    yield from aligned([COLUMNS, *statuses])


def runs(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Yield the run directories below `folder`, oldest first, down to `depth` levels."""
    if (folder / "run.json").is_file():
        yield folder
    elif depth and folder.is_dir():
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
        for path in sorted(inner, key=lambda path: path.stat().st_mtime):
            yield from runs(path, depth - 1)


def status(run: Path, root: Path) -> Status:
    """Return the status of one run; its name is relative to `root`."""
    known, beat = _object(run / "run.json"), _object(run / "heartbeat.json")
    at = _number(beat.get("at"))
    age = None if at is None else max(0.0, time.time() - at)
    state = str(known.get("status", "running"))
    if state == "running":
        state = _of_one_that_runs(runlock.owner(run), age)
    name = _cell(run.relative_to(root).as_posix() if run != root else run.name)
    if known.get("kind") == EVALUATION:
        return _of_an_evaluation(run, name, state)
    steps = beat.get("steps", known.get("steps", "?"))
    rollouts = _number(beat.get("rollouts", 0))
    return Status(
        name=name,
        state=_cell(state),
        step=_cell(f"{beat.get('step', 0)} of {steps}"),
        rollouts="?" if rollouts is None else f"{rollouts:,.0f}",
        phase=_cell(beat.get("phase", "start")) if state in ("running", "slow", "died") else "-",
        age=_ago(age),
    )


def _of_an_evaluation(run: Path, name: str, state: str) -> Status:
    """Return the status of an evaluation: its phase column has the scores of all splits so far."""
    rows = _rows(run)
    scores = [
        f"{row.get('env')} {row.get('split')} {100 * accuracy:.1f} %"
        for row in rows
        if row is not None
        if (accuracy := _number(row.get("accuracy"))) is not None
    ]
    # An evaluation has no heartbeat: its files change when a split is scored.
    newest = max((path.stat().st_mtime for path in run.glob("*.json*")), default=time.time())
    phase = _cell(", ".join(scores) or "evaluate")
    return Status(name, _cell(state), "evaluation", "-", phase, _ago(time.time() - newest))


def _rows(run: Path) -> list[dict[str, Any] | None]:
    try:
        return list(any_rows(run, "eval"))
    except (FileNotFoundError, untrusted.Unusable):
        return []


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
    """Return an untrusted text for one table cell: on one line, escaped and shortened."""
    return " ".join(outward.plain(str(thing)).split())[:WIDEST]


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if abs(value) < BEYOND else None  # False for infinity and NaN too


def _object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; {} if it is missing or damaged."""
    try:
        return untrusted.read_object(path)
    except (FileNotFoundError, untrusted.Unusable):
        return {}
