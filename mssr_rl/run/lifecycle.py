"""Starts a run in a new directory, or resumes an old one from its newest valid checkpoint.

A resumed run must be the same run. Its config may differ from the recorded one only in keys that
do not change a training step, such as a larger budget.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mssr_rl import files
from mssr_rl.budget import overspent
from mssr_rl.config import Config, compose, recorded, to_dict
from mssr_rl.config.recorded import Changed
from mssr_rl.errors import UserError
from mssr_rl.models import model_folder
from mssr_rl.run import changes, checkpoint, plugin_sources, runlog
from mssr_rl.run.arm import TrainingSetup
from mssr_rl.run.changes import Change
from mssr_rl.run.checkpoint import Restored, ResumePoint, Store, TrainState
from mssr_rl.run.runlog import RunLog
from mssr_rl.run.summary import gpus
from mssr_rl.run_streams import STREAMS

MAY_CHANGE = (
    *("name", "resume", "runs_dir", "accept", "log", "cluster.address", "engine.threads"),
    *("budget.", "checkpoint.", "fault.", "lens.", "stability."),
)


def open_log(config: Config) -> RunLog:
    """Create or reopen the run directory, and lock it. A new run gets its config.yaml.

    A resumed run keeps its old config.yaml until all checks have passed (see `describe`). Raises
    `UserError` if the run cannot be resumed with this config.
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
    """Check a run before it is resumed, without its engine and its data.

    Engine and data can take minutes to load. Raises `UserError` if the run cannot be resumed.
    """
    record, changed = changes.read_record(folder, config.accept)
    changed += changes.between(record, {"plugins": plugin_sources.of(config)}, folder)
    changes.refuse(changed, config.accept, folder)
    old = recorded.of_run(folder, config.accept)
    _refuse_another_run(folder, old, config)
    _refuse_a_smaller_budget(folder, record, old, config)


def _refuse_another_run(folder: Path, before: Mapping[str, Any], config: Config) -> None:
    """Raise `UserError` if the new config changes a training step of the old one, `before`."""
    old = recorded.leaves(to_dict(compose.from_dict(before)))
    new = recorded.leaves(to_dict(config))
    # Keys in only one of the two are options of another algorithm or environment. The name itself
    # is in both.
    keys = sorted(k for k in old.keys() & new.keys() if old[k] != new[k])
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
    """Raise `UserError` if the new budget is below what the newest checkpoint has spent."""
    kept = record.get("config")
    settings = kept.get("settings") if isinstance(kept, Mapping) else None
    was = (settings if isinstance(settings, Mapping) else before).get("budget")
    if not isinstance(was, Mapping) or was == to_dict(config)["budget"]:
        return
    newest = checkpoint.newest_valid(folder / "checkpoints").folder
    if newest is None:
        return
    exceeded = overspent(checkpoint.ledger_of(newest), config.budget, was, gpus(config))
    if exceeded:
        raise UserError(
            f"{folder} cannot continue with less than it has spent: {'; '.join(exceeded)}; "
            "give more, or leave the budget as it was"
        )


def _to_keep(config: Config) -> bytes:
    """Return the text of config.yaml without `accept`, which applies to this start only."""
    return compose.to_yaml(replace(config, accept=())).encode()


def way_back(config: Config, log: RunLog) -> str:
    """Return the arguments that resume a run; its config.yaml holds all other settings."""
    where = shlex.quote(config.runs_dir)
    elsewhere = "" if config.runs_dir == Config.runs_dir else f" runs_dir={where}"
    return f"resume=true name={log.name}{elsewhere}"


def held_to_record(log: RunLog, facts: Mapping[str, Any], config: Config) -> list[Change]:
    """Return what changed since the run began; raise `UserError` if a change is refused."""
    record, changed = changes.read_record(log.folder, config.accept)
    changed += changes.between(record, facts, log.folder)
    changes.refuse(changed, config.accept, log.folder)
    return changed


def describe(
    log: RunLog, facts: Mapping[str, Any], config: Config, new_changes: Sequence[Changed] = ()
) -> None:
    """Write run.json with the facts of the run and all changes so far, then config.yaml."""
    changes.put_aside(log.folder)
    text = _to_keep(config)
    known = [*recorded.noted(log.record()), *new_changes]
    log.describe(
        name=log.name,
        status="running",
        exit_reason=None,
        **facts,
        differs_from_recipe=from_recipe(config),
        config=changes.config_record(text, log.folder),
        changes=[change._asdict() for change in known],
    )
    files.write_bytes(log.folder / "config.yaml", text)


NOT_OF_RECIPES = ("name", "resume", "accept", "runs_dir", "plugins", "seed", "recipe")


def from_recipe(config: Config) -> dict[str, Any] | None:
    """Return {key: the recipe's value} of every setting that the user changed.

    The recipe is that of the run, with its algorithm and its environment. Return None if these do
    not make a config without the changed settings.
    """
    groups = {"algo": config.algo.name, "env": config.env.name, "recipe": config.recipe}
    try:
        usual = to_dict(compose.load([f"{key}={name}" for key, name in groups.items()]))
    except UserError:
        return None
    given, before = recorded.leaves(to_dict(config)), recorded.leaves(usual)
    keys = [key for key in given if key not in NOT_OF_RECIPES]
    return {key: before.get(key) for key in keys if given[key] != before.get(key)}


def newest(log: RunLog) -> ResumePoint:
    """Return the checkpoint from which the run continues.

    Its folder is None if nothing was saved yet. Then the run starts again at step 0 and gives the
    same results. If checkpoints existed and are lost, starting again would surprise the user, so it
    is an error.

    Raises:
        UserError: the run recorded steps, and its checkpoints are gone or damaged.
    """
    folder = log.folder / "checkpoints"
    checkpoint.tidy(folder)
    point = checkpoint.newest_valid(folder)
    steps = log.steps()
    if point.folder is None and steps and (point.skipped or log.record().get("saved") is not None):
        why = "; ".join(point.skipped[:3]) or f"there is none in {folder}"
        raise UserError(
            f"{log.folder} has {steps} steps on record and no valid checkpoint to continue from: "
            f"{why}. Put one back into {folder}, or start a new run under another name=; to do all "
            "steps again in this folder, delete its metrics.jsonl, eval.jsonl and samples.jsonl"
        )
    return point


def store(log: RunLog, config: Config) -> Store:
    """Return the store of the run's checkpoints, with the expected size of the first one.

    The size is that of the weights and AdamW's two moments.
    """
    weights = Path(model_folder(config.model.path)).glob("*.safetensors")
    expected = 3 * sum(file.stat().st_size for file in weights)
    return Store(log.folder / "checkpoints", config.checkpoint.keep, expected)


def restore(
    arm: TrainingSetup, log: RunLog, initial: TrainState, point: ResumePoint
) -> tuple[TrainState, list[str]]:
    """Restore the engine and the .jsonl files from a checkpoint; return the state and messages."""
    messages = list(point.skipped)
    if point.folder is None:
        steps = log.steps()
        again = f"{steps} steps had no checkpoint yet and are done again: " if steps else ""
        log.cut_back(dict.fromkeys(STREAMS, 0))
        return initial, [*messages, f"resume  {again}starting at step 0"]
    restored: Restored = checkpoint.read_checkpoint(point.folder, initial.algorithm)
    # Rows behind the checkpoint go, because the steps that wrote them are made again.
    log.cut_back(restored.stream_sizes)
    arm.engine.load(point.folder)
    return restored.state, [
        *messages,
        f"resume  after step {restored.state.step}, from {point.folder}",
    ]
