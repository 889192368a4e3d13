"""How a run begins: a new directory, or the old one at its newest whole checkpoint.

A resumed run must be the same run: its config may differ from the recorded one only in what does
not change a step, such as a larger budget.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mssr_rl import files
from mssr_rl.budget import overspent
from mssr_rl.config import Config, compose, recorded, to_dict
from mssr_rl.errors import UserError
from mssr_rl.models import model_folder
from mssr_rl.run import changes, checkpoint, plugin_sources, runlog
from mssr_rl.run.arm import TrainingSetup
from mssr_rl.run.changes import Change, Changed
from mssr_rl.run.checkpoint import Restored, ResumePoint, Store, TrainState
from mssr_rl.run.runlog import RunLog
from mssr_rl.run.summary import gpus

MAY_CHANGE = (
    *("name", "resume", "runs_dir", "accept", "cluster.address", "engine.threads"),
    *("budget.", "checkpoint.", "fault.", "lens.", "stability."),
)


def open_log(config: Config) -> RunLog:
    """The run directory the config asks for, locked; of a new run with its config.yaml.

    Of one that goes on the old config.yaml stays until nothing more is found that speaks against it
    (`describe`).
    """
    runs_dir = Path(config.runs_dir)
    if config.resume:
        if config.name is None:
            raise UserError("resume=true needs to know which run: add name=<folder in runs>")
        log = runlog.reopen(runs_dir, config.name)
        try:
            _refuse_what_can_be_known_now(log.folder, config)
        except BaseException:
            log.close()
            raise
        return log
    if config.name is not None:
        log = runlog.create(runs_dir, config.name)
    else:
        log = runlog.create_unnamed(runs_dir, config.env.name, config.algo.name, f"s{config.seed}")
    with log.starting():
        files.write_bytes(log.folder / "config.yaml", _to_keep(config))
    return log


def _refuse_what_can_be_known_now(folder: Path, config: Config) -> None:
    """All that needs no engine and no data: those may take minutes."""
    record, found = changes.read_record(folder, config.accept)
    found += changes.between(record, {"plugins": plugin_sources.of(config)}, folder)
    changes.refuse(found, config.accept, folder)
    old = recorded.of_run(folder, config.accept)
    _refuse_another_run(folder, old, config)
    _refuse_a_smaller_budget(folder, record, old, config)


def _refuse_another_run(folder: Path, before: Mapping[str, Any], config: Config) -> None:
    """Raise `UserError` if the recorded config would have trained differently."""
    old = recorded.leaves(to_dict(compose.from_dict(before)))
    new = recorded.leaves(to_dict(config))
    keys = sorted(k for k in old.keys() & new.keys() if old[k] != new[k])  # options follow names
    changed = [key for key in keys if not key.startswith(MAY_CHANGE)]
    if changed:
        listed = ", ".join(f"{key}={new[key]} (was {old[key]})" for key in changed)
        raise UserError(
            f"{folder} was run with other settings, so this would not continue it: {listed}; "
            "give the old values, or start a new run under another name"
        )


def _refuse_a_smaller_budget(
    folder: Path, record: Mapping[str, Any], before: Mapping[str, Any], config: Config
) -> None:
    """Raise `UserError` if the budget was lowered below what the newest checkpoint has spent."""
    kept = record.get("config")
    settings = kept.get("settings") if isinstance(kept, Mapping) else None
    was = (settings if isinstance(settings, Mapping) else before).get("budget")
    if not isinstance(was, Mapping) or was == to_dict(config)["budget"]:
        return
    newest = checkpoint.newest_valid(folder / "checkpoints").folder
    if newest is None:
        return
    said = overspent(checkpoint.ledger_of(newest), config.budget, was, gpus(config))
    if said:
        raise UserError(
            f"{folder} cannot go on with less than it has spent: {'; '.join(said)}; give more, or "
            "leave the budget as it was"
        )


def _to_keep(config: Config) -> bytes:
    """The text of config.yaml: what is accepted now is not accepted for ever."""
    return compose.to_yaml(replace(config, accept=())).encode()


def way_back(config: Config, log: RunLog) -> str:
    """The words that continue a run; the rest of its settings are in its config.yaml."""
    where = shlex.quote(config.runs_dir)
    elsewhere = "" if config.runs_dir == Config.runs_dir else f" runs_dir={where}"
    return f"resume=true name={log.name}{elsewhere}"


def held_to_record(log: RunLog, facts: Mapping[str, Any], config: Config) -> list[Change]:
    """What is not as it was when the run began; `UserError` if that is refused."""
    record, found = changes.read_record(log.folder, config.accept)
    found += changes.between(record, facts, log.folder)
    changes.refuse(found, config.accept, log.folder)
    return found


def describe(
    log: RunLog, facts: Mapping[str, Any], config: Config, found: Sequence[Changed] = ()
) -> None:
    """Write down what the run is now, and every change so far; a new config.yaml last."""
    changes.put_aside(log.folder)
    text = _to_keep(config)
    known = [*changes.noted(log.record()), *found]
    log.describe(
        name=log.name,
        status="running",
        exit_reason=None,
        **facts,
        config=changes.config_record(text, log.folder),
        changes=[change._asdict() for change in known],
    )
    files.write_bytes(log.folder / "config.yaml", text)


def newest(log: RunLog) -> ResumePoint:
    """The checkpoint that the run goes on from.

    None where nothing was saved yet: what was done since step 0 is done again, and comes out the
    same. Where something was, its loss is not what somebody wants who says resume=true.

    Raises:
        UserError: there are steps on record, and the checkpoints that they had are gone.
    """
    folder = log.folder / "checkpoints"
    checkpoint.tidy(folder)
    found = checkpoint.newest_valid(folder)
    steps = log.steps()
    if found.folder is None and steps and (found.skipped or log.record().get("saved") is not None):
        why = "; ".join(found.skipped[:3]) or f"there is none in {folder}"
        raise UserError(
            f"{log.folder} has {steps} steps on record and no whole checkpoint to go on from: "
            f"{why}. Put one back into {folder}, or start a new run under another name=; to do all "
            "steps again in this folder, delete its metrics.jsonl, eval.jsonl and samples.jsonl"
        )
    return found


def store(log: RunLog, config: Config) -> Store:
    """Where the run's checkpoints go; weights and AdamW's two moments are what takes room."""
    weights = Path(model_folder(config.model.path)).glob("*.safetensors")
    expected = 3 * sum(file.stat().st_size for file in weights)
    return Store(log.folder / "checkpoints", config.checkpoint.keep, expected)


def restore(
    arm: TrainingSetup, log: RunLog, initial: TrainState, found: ResumePoint
) -> tuple[TrainState, list[str]]:
    """Put engine and streams back to what `newest` found; what happened, in sentences."""
    said = list(found.skipped)
    if found.folder is None:
        steps = log.steps()
        again = f"{steps} steps had no checkpoint yet and are done again: " if steps else ""
        log.cut_back(dict.fromkeys(runlog.STREAMS, 0))
        return initial, [*said, f"resume  {again}starting at step 0"]
    restored: Restored = checkpoint.read_checkpoint(found.folder, initial.algorithm)
    log.cut_back(restored.stream_sizes)
    arm.engine.load(found.folder)
    return restored.state, [*said, f"resume  after step {restored.state.step}, from {found.folder}"]
