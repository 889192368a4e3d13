"""How a run begins: a new directory, or the old one at its newest whole checkpoint.

A resumed run must be the same run: its config may differ from the recorded one only in what does
not change a step, such as a larger budget.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mssr_rl import files
from mssr_rl.config import Config, compose, to_dict
from mssr_rl.errors import UserError
from mssr_rl.models import model_folder
from mssr_rl.run import checkpoint, runlog
from mssr_rl.run.arm import Arm
from mssr_rl.run.checkpoint import Restored, Store, TrainState
from mssr_rl.run.runlog import RunLog

MAY_CHANGE = (
    *("name", "resume", "runs_dir", "cluster.address"),
    *("budget.", "checkpoint.", "fault.", "lens.", "stability."),
)


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


def held_to_record(log: RunLog, facts: Mapping[str, Any]) -> list[str]:
    """What is not as it was when the run began; `UserError` if that is its data or its model."""
    path = log.folder / "run.json"
    if not path.exists():
        return []  # killed before anything was described
    known, now = json.loads(path.read_text("utf-8")), json.loads(json.dumps(facts))
    for what, key in (("env.data", "data"), ("model.path", "model")):
        if key in known and known[key] != now[key]:
            raise UserError(
                f"{log.folder} cannot be continued: what {what} names is not what the run began "
                "with (see run.json); put it back, or start a new run under another name"
            )
    was, is_now = (record.get("machine", {}).get("kernels") for record in (known, now))
    if was in (None, is_now):
        return []
    other = f"resume  other arithmetic than before: was {was}; is {is_now}. "
    return [f"{other}The run goes on soundly, but not to the last digit as if it had never stopped"]


def store(log: RunLog, config: Config) -> Store:
    """Where the run's checkpoints go; weights and AdamW's two moments are what takes room."""
    weights = Path(model_folder(config.model.path)).glob("*.safetensors")
    expected = 3 * sum(file.stat().st_size for file in weights)
    return Store(log.folder / "checkpoints", config.checkpoint.keep, expected)


def restore(arm: Arm, log: RunLog, initial: TrainState) -> tuple[TrainState, list[str]]:
    """Put engine and streams back to the newest whole checkpoint; what happened, in sentences."""
    folder = store(log, arm.config).folder
    checkpoint.tidy(folder)
    found = checkpoint.newest_valid(folder)
    said = list(found.skipped)
    if found.folder is None:
        log.cut_back(dict.fromkeys(runlog.STREAMS, 0))
        return initial, [*said, "resume  no whole checkpoint is there: starting at step 0"]
    restored: Restored = checkpoint.read(found.folder, initial.algorithm)
    log.cut_back(restored.stream_sizes)
    arm.engine.load(found.folder)
    return restored.state, [*said, f"resume  after step {restored.state.step}, from {found.folder}"]
