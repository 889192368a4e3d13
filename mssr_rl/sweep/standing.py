"""Read the state of a comparison's run from its folder. The state is recorded nowhere else.

So a comparison can be killed at any time. The next start reads the folders and trains the runs that
are missing.
"""

import shutil
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mssr_rl.config import recorded
from mssr_rl.errors import UserError
from mssr_rl.metric_names import ACCURACY, BUDGET_ROLLOUTS, BUDGET_SECONDS, REWARD_MEAN
from mssr_rl.run import runlock
from mssr_rl.run_streams import newest_first, newest_row

State = Literal["absent", "busy", "interrupted", "failed", "done", "collapsed", "dropped"]
FINISHED = ("done", "collapsed")


class RunStanding(NamedTuple):
    """The state and the progress of a run."""

    state: State
    reason: str = ""
    rollouts: int = 0
    reward: float | None = None  # of the newest step
    accuracy: float | None = None  # greedy, of the newest evaluation on val
    seconds: float = 0.0  # charged wall time


def look(folder: Path) -> RunStanding:
    """Return the state and the progress of the run in `folder`."""
    if not (folder / "config.yaml").exists():
        return RunStanding("absent")
    document = _document(folder / "run.json")
    newest = newest_row(folder, "metrics")
    return RunStanding(
        state=_state(folder, document.get("status")),
        reason=str(document.get("exit_reason") or ""),
        rollouts=int(newest.get(BUDGET_ROLLOUTS, 0)),
        reward=newest.get(REWARD_MEAN),
        accuracy=_accuracy(folder),
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


def _accuracy(folder: Path) -> float | None:
    of_validation = (row for row in newest_first(folder, "eval") if row.get("split") == "val")
    newest = next(of_validation, None)
    return None if newest is None else float(newest[ACCURACY])
