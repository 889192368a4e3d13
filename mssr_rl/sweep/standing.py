"""Reads the state of a comparison's run from its folder. No other record of the state exists.

So a comparison can be killed at any time. The next start reads the folders, and does what is
missing.
"""

import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mssr_rl import untrusted
from mssr_rl.config import recorded
from mssr_rl.errors import UserError
from mssr_rl.metric_names import BUDGET_ROLLOUTS, BUDGET_SECONDS, REWARD_MEAN
from mssr_rl.run import runlock

State = Literal["absent", "busy", "interrupted", "failed", "done", "collapsed", "dropped"]
FINISHED = ("done", "collapsed")
TAIL = 1 << 16  # [bytes], longer than any line of metrics.jsonl


class RunStanding(NamedTuple):
    """The state and the progress of a run."""

    state: State
    reason: str = ""
    rollouts: int = 0
    reward: float | None = None  # of the newest step
    accuracy: float | None = None  # greedy, of the newest evaluation on val
    seconds: float = 0.0  # charged wall time


def look(folder: Path) -> RunStanding:
    """Return the state of the run in `folder`."""
    if not (folder / "config.yaml").exists():
        return RunStanding("absent")
    document = _document(folder / "run.json")
    newest = _last(folder / "metrics.jsonl")
    return RunStanding(
        state=_state(folder, document.get("status")),
        reason=str(document.get("exit_reason") or ""),
        rollouts=int(newest.get(BUDGET_ROLLOUTS, 0)),
        reward=newest.get(REWARD_MEAN),
        accuracy=_accuracy(folder / "eval.jsonl"),
        seconds=float(newest.get(BUDGET_SECONDS, 0.0)),
    )


def clear_stillborn(folder: Path) -> None:
    """Remove the folder of a run that was killed before it wrote its config."""
    if folder.is_dir() and not (folder / "config.yaml").exists():
        shutil.rmtree(folder)


def _state(folder: Path, status: object) -> State:
    if runlock.owner(folder) is not None:
        return "busy"
    if status in ("done", "collapsed", "failed", "interrupted"):
        return status
    return "interrupted"  # run.json says "running" or nothing, but no process holds the lock


def _document(path: Path) -> dict[str, Any]:
    try:
        return recorded.document(path)
    except (FileNotFoundError, UserError):
        return {}  # the run reports the fault itself when it is resumed


def _last(path: Path) -> dict[str, Any]:
    """Return the newest complete line of a stream; the last line may be incomplete."""
    if not path.exists():
        return {}
    lines = untrusted.tail(path, TAIL).split(b"\n")[:-1]
    row: dict[str, Any] = untrusted.parsed(lines[-1], str(path)) if lines else {}
    return row


def _accuracy(path: Path) -> float | None:
    if not path.exists():
        return None
    for line in reversed(list(untrusted.lines(path))):
        if line is None or not line.endswith(b"\n"):
            continue
        row = untrusted.parsed(line, str(path))
        if row.get("split") == "val":
            return float(row["accuracy"])
    return None
