"""The command `eval` and its arguments: one config per environment, and options of an evaluation.

If `model=` names a folder, it means `model.path=`. An `env.` option goes to all environments that
have it; at least one must have it.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from mssr_rl import nearby
from mssr_rl.config import Config, keys, overrides, plugins, registered_names, words
from mssr_rl.config.compose import load
from mssr_rl.config.words import others
from mssr_rl.errors import UserError
from mssr_rl.run import evaluate, scorecard
from mssr_rl.run.here import refuse_what_is_missing
from mssr_rl.run.model_judge import Judge
from mssr_rl.typed import option

# Keys of a training run that change a score, or where it is computed and kept. `eval` refuses all
# other keys.
SCORING = frozenset(
    {"env", "model", "engine", "recipe", "name", "runs_dir", "seed", "plugins"}
    | {"eval.samples", "eval.limit", "rollout.max_prompt_tokens", "rollout.max_response_tokens"}
    | {"fault.unscorable"}
    | {"train.rollouts_per_step", "train.micro_batch"}  # how many answers are drawn at once
)
SECTIONS = ("env.", "model.", "engine.", "cluster.")


@dataclass(frozen=True, kw_only=True)
class ScoreWords:
    """The arguments of `eval`, besides the keys of a run that change a score."""

    split: tuple[Literal["train", "val", "test"], ...] | None = option(
        "the splits to score; null: val and test of one environment, test of each of several", None
    )
    judge: str | None = option("address of a model that judges the answers, http://...", None)
    judge_model: str | None = option("the name of that model; null: its server's default", None)
    keys: Mapping[str, str] = others(
        "env, model, engine, and other config keys that change a score"
    )


@dataclass(frozen=True, kw_only=True)
class PairWords:
    """The arguments of `eval compare=`."""

    compare: tuple[str, ...] = option("two folders of results, A,B")


class EvaluationRequest(NamedTuple):
    """The parsed arguments of `eval`: one config per environment, the splits and the judge."""

    configs: list[Config]
    splits: tuple[str, ...] | None
    judge: str | None
    judge_model: str


def compare_results(arguments: Sequence[str]) -> None:
    """Compare two folders of results question by question; print one line per environment."""
    for row in scorecard.compare(*two_folders(arguments)):
        sys.stdout.write(json.dumps(row) + "\n")


def evaluate_models(arguments: Sequence[str]) -> None:
    """Score the model that the arguments name."""
    from mssr_rl.engine import make_engine

    request, judge = evaluation_request(arguments), None
    if request.judge is not None:
        key = os.environ.get("MSSR_JUDGE_KEY")
        judge = Judge(url=request.judge.rstrip("/"), model=request.judge_model, key=key)
        judge.control()
    refuse_what_is_missing(request.configs[0])
    evaluate.run(request.configs, make_engine, splits=request.splits, judge=judge)


def evaluation_request(arguments: Sequence[str]) -> EvaluationRequest:
    """Return the parsed arguments.

    Raises `UserError` if an argument is unknown, has no effect, or needs another one.
    """
    parsed = words.parse_words(ScoreWords, arguments)
    arguments_of_run = dict(parsed.keys)
    if parsed.judge_model is not None and parsed.judge is None:
        raise UserError("judge_model names the model behind judge=URL, which is missing")
    _refuse_idle(arguments_of_run)
    if "model" in arguments_of_run and arguments_of_run["model"] not in keys.choices("model"):
        if not Path(arguments_of_run["model"]).is_dir():
            raise UserError(
                f"model={arguments_of_run['model']} is neither a folder nor a model of configs/; "
                f"{nearby.runs_listed(arguments_of_run['model'])}"
            )
        arguments_of_run["model.path"] = arguments_of_run.pop("model")
    plugins.prepare(overrides.listed("plugins", arguments_of_run.get("plugins", "[]")))
    configs = [load(one) for one in _for_each(arguments_of_run)]
    return EvaluationRequest(configs, parsed.split, parsed.judge, parsed.judge_model or "default")


def two_folders(arguments: Sequence[str]) -> tuple[Path, Path]:
    """Return the two folders of `eval compare=A,B`; raise `UserError` if there are not two."""
    folders = words.parse_words(PairWords, arguments).compare
    if len(folders) != 2:
        raise UserError(f"compare={','.join(folders)}: name two result folders, eval compare=A,B")
    return Path(folders[0]), Path(folders[1])


def _refuse_idle(arguments: Mapping[str, str]) -> None:
    """Raise `UserError` for a key of training that has no effect on scoring."""
    for key, value in arguments.items():
        ours = key in SCORING or key.startswith(SECTIONS)
        known = key in (*keys.GROUPS, *keys.fixed_kinds()) or key.startswith("algo.")
        if known and not ours:
            raise UserError(
                f"{key}={value} plays no part in scoring a model, so leave it out; besides what "
                f"names model, env and engine, eval takes {', '.join(sorted(SCORING))}"
            )


def _for_each(arguments: dict[str, str]) -> list[list[str]]:
    """Return one list of arguments per environment, from which its config is made.

    An `env.` option goes to the environments that have it. Raises `UserError` if none has it.
    """
    if "env" not in arguments:
        return [[f"{key}={value}" for key, value in arguments.items()]]
    chosen = overrides.listed("env", arguments["env"])
    known = {name: registered_names.options("env", name) for name in chosen}
    for key in arguments:
        option = key.removeprefix("env.")
        if key.startswith("env.") and not any(option in options for options in known.values()):
            raise registered_names.refuse_option("env", chosen[0], option)
    return [
        [
            f"{key}={name if key == 'env' else value}"
            for key, value in arguments.items()
            if not key.startswith("env.") or key.removeprefix("env.") in known[name]
        ]
        for name in chosen
    ]
