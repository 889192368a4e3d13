"""`eval`: score a model folder, or the newest checkpoint of a run, on val and test.

The scores go to stdout, one JSON object a split, and with every problem's result into a run
directory of their own. Nothing is trained; `scoring` does the work here as it does in training.
"""

import json
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mssr_rl import files
from mssr_rl.budget import Ledger
from mssr_rl.config import Config
from mssr_rl.config.compose import to_yaml
from mssr_rl.errors import UserError
from mssr_rl.run import checkpoint, provenance, runlog, samples, scoring
from mssr_rl.run.arm import MakeEngine, environment, eval_plan
from mssr_rl.run.runlog import RunLog
from mssr_rl.run.scoring import Evaluation

SPLITS = ("val", "test")
SHOWN = 16  # answers of each split in samples.jsonl


def main(config: Config) -> None:
    """Score what `model.path` names: a model, a checkpoint, or a run directory."""
    from mssr_rl.engine import make_engine

    run(config, make_engine)


def run(config: Config, make_engine: MakeEngine) -> Path:
    """`main` with an engine of the caller's; returns the directory with the results."""
    config = replace(config, model=replace(config.model, path=policy_folder(config.model.path)))
    envs = [environment(config, split) for split in SPLITS]
    engine = make_engine(config)
    with closing(_log(config)) as log, log.ending():
        for env in envs:
            found = scoring.evaluate(engine, env, eval_plan(config), 0, _never)
            _record(log, found, config.seed)
            sys.stdout.write(json.dumps(found.score._asdict()) + "\n")
        log.end("done", "every split is scored")
        return log.folder


def policy_folder(path: str) -> str:
    """`path`, or the policy in it if it is a checkpoint or, then the newest, a run directory."""
    folder = Path(path)
    if (folder / "checkpoints").is_dir():
        found = checkpoint.newest_valid(folder / "checkpoints").folder
        if found is None:
            raise UserError(f"{path} holds no whole checkpoint to score; name a model folder")
        folder = found
    return str(folder / "policy") if (folder / "policy").is_dir() else path


def _log(config: Config) -> RunLog:
    runs_dir = Path(config.runs_dir)
    if config.name is None:
        log = runlog.create_unnamed(runs_dir, config.env.name, "eval")
    else:
        log = runlog.create(runs_dir, config.name)
    files.write_bytes(log.folder / "config.yaml", to_yaml(config).encode())
    log.describe(
        name=log.name,
        status="running",
        versions=provenance.versions(),
        git=provenance.git_revision(),
        machine=provenance.machine(),
        model={"path": config.model.path, "hash": provenance.model_hash(config.model.path)},
    )
    return log


def _record(log: RunLog, found: Evaluation, seed: int) -> None:
    log.write("eval", scoring.record(found, Ledger()))
    split = found.score.split
    for index in samples.choose(SHOWN, len(found.greedy), split, seed=seed):
        sample = found.greedy[index]
        images = samples.write_pictures(sample.problem, log.folder)
        log.write("samples", samples.record(sample, 0, split, images))


def _never() -> None:
    """Nothing to save, so Ctrl-C ends an evaluation the ordinary way."""
