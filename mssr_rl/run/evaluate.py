"""`eval`: scores a model folder, or the newest checkpoint of a run, on one or several environments.

    eval model=DIR env=a,b,c [split=test] [judge=URL judge_model=NAME] [env.option=value] …
    eval compare=RUN,RUN        compares two results problem by problem; their cards must match

One environment is scored on val and test, several on test. The scores go to stdout, one JSON object
per split. A new run directory keeps them with the result of every problem, an interval, a card and
table.md. Nothing is trained. `scoring` does the work, as it does during training.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from mssr_rl import files
from mssr_rl.budget import Ledger
from mssr_rl.config import Config
from mssr_rl.config.compose import to_yaml
from mssr_rl.data.sources import NoSuchSplit
from mssr_rl.envs import ProblemEnv
from mssr_rl.errors import UserError
from mssr_rl.run import checkpoint, provenance, runlog, samples, scorecard, scoring, status
from mssr_rl.run.arm import MakeEngine, eval_plan
from mssr_rl.run.interrupt import Interrupt
from mssr_rl.run.model_judge import Judge, judged
from mssr_rl.run.rehearsal import rehearse
from mssr_rl.run.runlog import RunLog
from mssr_rl.run.scoring import Evaluation
from mssr_rl.run.splits import environment, lines_of_rows

SPLITS = ("val", "test")
SHOWN = 16  # answers of each split in samples.jsonl
UNFINISHED = "an evaluation cannot be resumed: the same command without name= starts it again"


def run(
    configs: Sequence[Config],
    make_engine: MakeEngine,
    *,
    splits: tuple[str, ...] | None = None,
    judge: Judge | None = None,
) -> Path:
    """Score one policy on the environments of all configs; return the folder of the results."""
    model = replace(configs[0].model, path=policy_folder(configs[0].model.path))
    configs = [replace(config, model=model) for config in configs]
    chosen = [(config, env) for config in configs for env in _envs(config, splits, len(configs))]
    records = []
    with Interrupt(UNFINISHED), closing(_log(configs)) as log, ExitStack() as stack:
        with log.starting():
            engine = make_engine(configs[0])
        stack.callback(engine.close)
        stack.enter_context(log.ending())
        _describe(log, configs[0])
        sys.stderr.write(f"results {log.folder}\n")
        for config, env in chosen:
            count = len(env.problems[: config.eval.limit])
            sys.stderr.write(f"scoring {env.name} {env.split}: {count:,} problems\n")
            sys.stderr.writelines(f"{line}\n" for line in lines_of_rows([env]))
            sys.stderr.flush()
            evaluation = scoring.evaluate(engine, env, eval_plan(config), 0, _never)
            records.append(_record(log, evaluation, _carded(config, env, evaluation, judge)))
            sys.stdout.write(json.dumps(_short(records[-1])) + "\n")
        table = scorecard.table(records)
        files.write_bytes(log.folder / "table.md", table.encode())
        sys.stderr.write(table)
        log.end("done", "every split is scored")
        return log.folder


def policy_folder(path: str) -> str:
    """Return the model folder: `path` itself, or the policy in a checkpoint or a run directory.

    Of a run directory the newest valid checkpoint is used. Raises `UserError` if it has none.
    """
    folder = Path(path)
    if (folder / "checkpoints").is_dir():
        newest = checkpoint.newest_valid(folder / "checkpoints").folder
        if newest is None:
            raise UserError(f"{path} holds no valid checkpoint to score; name a model folder")
        folder = newest
    return str(folder / "policy") if (folder / "policy").is_dir() else path


def _envs(config: Config, splits: tuple[str, ...] | None, count: int) -> Iterator[ProblemEnv]:
    """Yield the environments to score.

    By default these are val and test of a single environment, or test of each of several.
    """
    for split in splits or (SPLITS if count == 1 else SPLITS[-1:]):
        try:
            env = environment(config, split)
            rehearse(env, config.env.name, config.fault.unscorable)
            yield env
        except NoSuchSplit:
            if splits is not None or split == SPLITS[-1]:
                raise


def _carded(
    config: Config, env: ProblemEnv, evaluation: Evaluation, judge: Judge | None
) -> dict[str, Any]:
    """Return one object for eval.jsonl: score, interval, figures of the metric, and the card."""
    failed = None
    if judge is not None:
        verdicts = judged(evaluation.greedy, judge)
        evaluation, failed = scoring.rescored(evaluation, verdicts.right), verdicts.failed
    interval = scorecard.interval(evaluation.problems, evaluation.right)
    metrics = env.rules.metrics
    length = config.rollout.max_response_tokens
    card = scorecard.card(
        env,
        evaluation.score.n,
        judge="none" if judge is None else judge.says,
        sampling=f"greedy, at most {length} tokens",
    )
    return {
        **scoring.evaluation_record(evaluation, Ledger()),
        "interval": [interval.low, interval.high],
        "metrics": metrics(evaluation.problems, evaluation.right) if metrics else {},
        "card": card,
        "judge_failed": failed,
    }


def _short(record: Mapping[str, Any]) -> dict[str, Any]:
    kept = (*scoring.Score._fields, "interval", "metrics", "judge_failed")
    return {name: record[name] for name in kept}


def _log(configs: Sequence[Config]) -> RunLog:
    config = configs[0]
    runs_dir = Path(config.runs_dir)
    if config.name is None:
        name = config.env.name if len(configs) == 1 else f"{len(configs)}-benchmarks"
        log = runlog.create_unnamed(runs_dir, name, "eval")
    else:
        log = runlog.create(runs_dir, config.name)
    for one in configs:
        name = "config.yaml" if len(configs) == 1 else f"config-{one.env.name}.yaml"
        files.write_bytes(log.folder / name, to_yaml(one).encode())
    return log


def _describe(log: RunLog, config: Config) -> None:
    log.describe(
        name=log.name,
        kind=status.EVALUATION,
        status="running",
        versions=provenance.versions(),
        git=provenance.git_revision(),
        machine=provenance.machine(),
        model={"path": config.model.path, "hash": provenance.model_hash(config.model.source)},
    )


def _record(log: RunLog, evaluation: Evaluation, record: dict[str, Any]) -> dict[str, Any]:
    log.write("eval", record)
    split = evaluation.score.split
    for index in samples.choose(SHOWN, len(evaluation.greedy), split, seed=0):
        sample = evaluation.greedy[index]
        images = samples.write_pictures(sample.problem, log.folder)
        log.write("samples", samples.sample_record(sample, 0, split, images))
    return record


def _never() -> None:
    """Do nothing; this is the `poll` function of an evaluation, which has no state to save.

    A signal may therefore end an evaluation at any point.
    """
