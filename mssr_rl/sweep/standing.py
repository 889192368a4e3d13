"""How a run of a comparison stands, read from its folder: nothing else has to be remembered.

So a comparison can be killed at any point: whoever comes next looks at the folders and does what is
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
TAIL = 1 << 16  # bytes: longer than any line of metrics.jsonl


class RunStanding(NamedTuple):
    """Where a run is."""

    state: State
    reason: str = ""
    rollouts: int = 0
    reward: float | None = None  # of the newest step
    accuracy: float | None = None  # greedy, of the newest evaluation on val
    seconds: float = 0.0  # charged


def look(folder: Path) -> RunStanding:
    """How the run in `folder` stands."""
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
    """Take away the folder of a run that was killed before it had written its config."""
    if folder.is_dir() and not (folder / "config.yaml").exists():
        shutil.rmtree(folder)


def _state(folder: Path, status: object) -> State:
    if runlock.owner(folder) is not None:
        return "busy"
    if status in ("done", "collapsed", "failed", "interrupted"):
        return status
    return "interrupted"  # it says "running", or nothing, and nobody is there: killed


def _document(path: Path) -> dict[str, Any]:
    try:
        return recorded.document(path)
    except (FileNotFoundError, UserError):
        return {}  # the run itself, once it is told to go on, says what is wrong with it


def _last(path: Path) -> dict[str, Any]:
    """The newest whole line of a stream; a last line may be cut short."""
    if not path.exists():
        return {}
    lines = untrusted.tail(path, TAIL).split(b"\n")[:-1]
    found: dict[str, Any] = untrusted.parsed(lines[-1], str(path)) if lines else {}
    return found


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
