"""The words of `eval`: one config for each environment, and what only an evaluation knows.

A `model=` that names a folder is `model.path=`; an `env.` option goes to the environments that
have it, and must be known to one of them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mssr_rl.config import Config, keys, names, overrides, plugins
from mssr_rl.config.compose import load
from mssr_rl.data.sources import SPLITS
from mssr_rl.errors import UserError

# Keys of a training run that change a score, or where it is made and kept; the rest is refused.
SCORING = frozenset(
    {"env", "model", "engine", "recipe", "name", "runs_dir", "seed", "plugins"}
    | {"eval.samples", "eval.limit", "rollout.max_prompt_tokens", "rollout.max_response_tokens"}
    | {"train.rollouts_per_step", "train.micro_batch"}  # how many answers are drawn at once
)
SECTIONS = ("env.", "model.", "engine.", "cluster.")
OWN = ("split", "judge", "judge_model", "compare")


class Asked(NamedTuple):
    """What is to be done."""

    configs: list[Config]
    splits: tuple[str, ...] | None
    judge: str | None
    judge_model: str
    compare: tuple[Path, Path] | None


def read(words: Sequence[str]) -> Asked:
    """Take the words apart; a `UserError` for what cannot be meant."""
    given = overrides.parse(words)
    own = {name: given.pop(name) for name in OWN if name in given}
    if "compare" in own:
        return Asked([], None, None, "", _two_folders(own, given))
    if "judge_model" in own and "judge" not in own:
        raise UserError("judge_model names the model behind judge=URL, which is missing")
    _refuse_idle(given)
    if "model" in given and given["model"] not in keys.choices("model"):
        if not Path(given["model"]).is_dir():
            raise UserError(f"model={given['model']} is neither a folder nor a model of configs/")
        given["model.path"] = given.pop("model")
    plugins.prepare(n.strip() for n in given.get("plugins", "").strip("[]").split(",") if n.strip())
    splits = tuple(own["split"].split(",")) if "split" in own else None
    for split in splits or ():
        if split not in SPLITS:
            raise UserError(f"split={split}: choose from {', '.join(SPLITS)}")
    return Asked(
        [load(one) for one in _for_each(given)],
        splits,
        own.get("judge"),
        own.get("judge_model", "default"),
        None,
    )


def _refuse_idle(given: Mapping[str, str]) -> None:
    """Raise `UserError` for what could be set in training and would change nothing here."""
    for key, value in given.items():
        ours = key in SCORING or key.startswith(SECTIONS)
        known = key in (*keys.GROUPS, *keys.fixed_kinds()) or key.startswith("algo.")
        if known and not ours:
            raise UserError(
                f"{key}={value} plays no part in scoring a model, so leave it out; besides what "
                f"names model, env and engine, eval takes {', '.join(sorted(SCORING))}"
            )


def _two_folders(own: dict[str, str], rest: dict[str, str]) -> tuple[Path, Path]:
    folders = [Path(name) for name in own["compare"].split(",")]
    if len(folders) != 2 or len(own) > 1 or rest:
        raise UserError("compare takes two result folders and nothing else: eval compare=A,B")
    return folders[0], folders[1]


def _for_each(given: dict[str, str]) -> list[list[str]]:
    """The words of each environment's own config."""
    if "env" not in given:
        return [[f"{key}={value}" for key, value in given.items()]]
    chosen = [name.strip() for name in given["env"].split(",") if name.strip()]
    known = {name: names.options("env", name) for name in chosen}
    for key in given:
        option = key.removeprefix("env.")
        if key.startswith("env.") and not any(option in options for options in known.values()):
            raise names.refuse_option("env", chosen[0], option)
    return [
        [
            f"{key}={name if key == 'env' else value}"
            for key, value in given.items()
            if not key.startswith("env.") or key.removeprefix("env.") in known[name]
        ]
        for name in chosen
    ]
