"""Reads a finished run for its model card and its evaluation records.

The folder may come from anybody: nothing of it is run, and its texts are escaped where they are
shown.
"""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import nearby, untrusted
from mssr_rl.config import recorded
from mssr_rl.config.compose import load
from mssr_rl.config.schema import to_dict
from mssr_rl.errors import UserError
from mssr_rl.run_streams import any_rows
from mssr_rl.stats.intervals import Interval, wilson

NAMES = ("algo", "env")  # groups whose section of a config has the name and the options
OF_THE_PLACE = ("name", "runs_dir", "resume", "accept", "log", "plugins")


class SplitScore(NamedTuple):
    """The newest accuracy on a split."""

    split: str
    step: int
    n: int
    accuracy: float  # greedy
    interval: Interval  # 95 %, over problems
    sampled: float
    samples: int  # sampled answers per problem


class PublishedRun(NamedTuple):
    """A finished run."""

    folder: Path
    config: Mapping[str, Any]
    run: Mapping[str, Any]  # run.json
    summary: Mapping[str, Any]  # summary.json
    scores: tuple[SplitScore, ...]

    @property
    def algo(self) -> str:
        """The name of the algorithm."""
        return str(self.config["algo"]["name"])

    @property
    def env(self) -> str:
        """The name of the environment."""
        return str(self.config["env"]["name"])

    @property
    def command(self) -> str:
        """The command that trains the same policy, with every setting that is not the default."""
        words = {"algo": self.algo, "env": self.env, "recipe": str(self.config.get("recipe"))}
        now = recorded.leaves(self.config)
        try:
            usual = recorded.leaves(to_dict(load([f"{k}={v}" for k, v in words.items()])))
        except UserError:  # an algorithm or environment of a plug-in, which is not imported here
            usual = now
        skip = (*OF_THE_PLACE, *words, *(f"{group}.name" for group in NAMES))
        changed = {
            key: value
            for key, value in now.items()
            if key not in skip and value != usual.get(key, value)
        }
        told = {**words, **changed, "seed": now.get("seed", 0)}
        return " ".join(shlex.quote(f"{key}={_text(value)}") for key, value in told.items())


def read_published(folder: Path) -> PublishedRun:
    """Return a finished run. Raises `UserError` if the folder holds none, or it has not ended."""
    for name in ("config.yaml", "run.json", "summary.json"):
        if not (folder / name).is_file():
            raise nearby.no_run(folder, f"has no {name}, so it is no run that ended")
    config = recorded.plain(folder / "config.yaml")
    run = untrusted.read_object(folder / "run.json", within=folder)
    summary = untrusted.read_object(folder / "summary.json", within=folder)
    if not all(isinstance(config.get(group), Mapping) for group in (*NAMES, "model")):
        raise UserError(f"{folder / 'config.yaml'} is not as training wrote it")
    return PublishedRun(folder, config, run, summary, _scores(folder))


def _scores(folder: Path) -> tuple[SplitScore, ...]:
    newest = {row["split"]: row for row in any_rows(folder, "eval") if row and "split" in row}
    return tuple(
        SplitScore(
            str(split),
            int(row["step"]),
            int(row["n"]),
            float(row["accuracy"]),
            wilson(float(row["accuracy"]), int(row["n"])),
            float(row["accuracy_sampled"]),
            int(row["samples"]),
        )
        for split, row in newest.items()
    )


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
