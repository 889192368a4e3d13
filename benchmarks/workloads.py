"""The laptop recipe, its problems, and variants of the tiny model, for several benchmarks."""

import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mssr_rl.config import Config
from mssr_rl.config.compose import load
from mssr_rl.envs import ProblemEnv, environments
from mssr_rl.models import model_folder
from mssr_rl.problem import Problem

ENV = "vision_r1"  # its mini problems
TEXT_ENV = "arithmetic"  # what a model of text is asked
LIMIT = 64  # longest response of the laptop recipe [tokens]
SAMPLES = 256  # rollouts of its step
PER_UPDATE = 64
GROUP = 8
KL = 0.01  # weight of the KL to the frozen initial model, so that its log-probabilities are needed
LR = 1e-4


def laptop(*words: str, env: str = ENV) -> Config:
    """Return the config of the laptop recipe on an environment.

    It has no evaluations, no checkpoints and no end.
    """
    fixed = (f"env={env}", "budget.rollouts=100000000", "eval.every=0", "checkpoint.every=0")
    return load([*fixed, *words])


def endless(folder: Path, source: str = "tiny") -> str:
    """Write a copy of a model that never samples an end token; return its folder.

    So all its responses reach the length limit.
    """
    shutil.copytree(model_folder(source), folder, dirs_exist_ok=True)
    path = folder / "generation_config.json"
    settings: dict[str, Any] = json.loads(path.read_text("utf-8"))
    settings["suppress_tokens"] = sorted({*settings["suppress_tokens"], *settings["eos_token_id"]})
    path.write_text(json.dumps(settings), "utf-8")
    return str(folder)


def banned(folder: str) -> list[int]:
    """Return the numbers of the tokens that a model never samples."""
    path = Path(model_folder(folder)) / "generation_config.json"
    found: Sequence[int] = json.loads(path.read_text("utf-8")).get("suppress_tokens") or ()
    return list(found)


@cache
def _env() -> ProblemEnv:
    return environments.make(ENV, split="train")


def posed(turn: int, count: int) -> list[Problem]:
    """Return the `count` problems of a turn; the next turn continues after them."""
    problems = _env().problems
    return [problems[(turn * count + i) % len(problems)] for i in range(count)]
