"""How a run begins: a new directory, or the old one at its newest whole checkpoint.

A resumed run must be the same run: its config may differ from the recorded one only in what does
not change a step, such as a larger budget.
"""

from pathlib import Path
from typing import Any

from mssr_rl import files
from mssr_rl.config import Config, compose, to_dict
from mssr_rl.errors import UserError
from mssr_rl.run import checkpoint, runlog
from mssr_rl.run.arm import Arm
from mssr_rl.run.checkpoint import Restored, Store, TrainState
from mssr_rl.run.runlog import RunLog

MAY_CHANGE = ("name", "resume", "runs_dir", "budget.", "checkpoint.", "lens.", "stability.")


def open_log(config: Config) -> RunLog:
    """The run directory the config asks for, locked, with its config.yaml."""
    runs_dir = Path(config.runs_dir)
    if config.resume:
        if config.name is None:
            raise UserError("resume=true needs to know which run: add name=<folder in runs>")
        log = runlog.reopen(runs_dir, config.name)
        refuse_another_run(log, config)
    elif config.name is not None:
        log = runlog.create(runs_dir, config.name)
    else:
        log = runlog.create_unnamed(runs_dir, config.env.name, config.algo.name, f"s{config.seed}")
    files.write_bytes(log.folder / "config.yaml", compose.to_yaml(config).encode())
    return log


def refuse_another_run(log: RunLog, config: Config) -> None:
    """Raise `UserError` if the recorded config would have trained differently."""
    old = _leaves(to_dict(compose.read(log.folder / "config.yaml")))
    new = _leaves(to_dict(config))
    keys = sorted(k for k in old.keys() & new.keys() if old[k] != new[k])  # options follow names
    changed = [key for key in keys if not key.startswith(MAY_CHANGE)]
    if changed:
        log.close()
        listed = ", ".join(f"{key}={new[key]} (was {old[key]})" for key in changed)
        raise UserError(
            f"{log.folder} was run with other settings, so this would not continue it: {listed}; "
            "give the old values, or start a new run under another name"
        )


def _leaves(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= _leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def way_back(config: Config, log: RunLog) -> str:
    """The words that continue a run; the rest of its settings are in its config.yaml."""
    elsewhere = "" if config.runs_dir == Config.runs_dir else f" runs_dir={config.runs_dir}"
    return f"resume=true name={log.name}{elsewhere}"


def store(log: RunLog, config: Config) -> Store:
    """Where the run's checkpoints go."""
    return Store(log.folder / "checkpoints", config.checkpoint.keep)


def restore(arm: Arm, log: RunLog, initial: TrainState) -> tuple[TrainState, list[str]]:
    """Put engine and streams back to the newest whole checkpoint; what happened, in sentences."""
    found = checkpoint.newest_valid(store(log, arm.config).folder)
    said = list(found.skipped)
    if found.folder is None:
        log.cut_back(dict.fromkeys(runlog.STREAMS, 0))
        return initial, [*said, "resume  no whole checkpoint is there: starting at step 0"]
    restored: Restored = checkpoint.read(found.folder, initial.algorithm)
    log.cut_back(restored.stream_sizes)
    arm.engine.load(found.folder)
    return restored.state, [*said, f"resume  after step {restored.state.step}, from {found.folder}"]
