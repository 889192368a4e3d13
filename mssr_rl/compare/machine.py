"""How many runs fit on this machine at once, by cores and by memory."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from mssr_rl.compare.matrix import Run
from mssr_rl.compare.runner import Share
from mssr_rl.compare.settings import Settings
from mssr_rl.config import Config
from mssr_rl.envs import environments
from mssr_rl.models import model_folder
from mssr_rl.planning import memory, prompt_sizes

SPARE = 0.9  # of the free memory


def threads(settings: Settings, runs: int) -> str:
    """`engine.threads` of every run where nobody says it: the cores divided by the runs."""
    return str(max(1, cores() // min(settings.jobs or cores(), max(1, runs))))


def share(settings: Settings, runs: Sequence[Run]) -> Share:
    """Runs at once, and threads of each; one run is always started."""
    each = max(run.config.engine.threads for run in runs)
    if settings.jobs is not None:
        return Share(settings.jobs, each)
    needs = list(_needs(runs))
    room = SPARE * psutil.virtual_memory().available
    by_memory = int(room / max(needs)) if needs else len(runs)
    return Share(max(1, min(cores() // each, by_memory, len(runs))), each)


def cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0))


def bytes_needed(config: Config, prompt_tokens: int) -> float | None:
    """An estimate of one run's memory; None where the model is not on this machine."""
    try:
        shape = memory.shape(Path(model_folder(config.model.path)))
    except FileNotFoundError:
        return None
    return memory.parts(config, shape, prompt_tokens).total


def longest_prompt(config: Config) -> int:
    """In tokens, or what prompts may be where the model is not here."""
    problems = environments.make(config.env.name, split="train", **config.env.options).problems
    measured = prompt_sizes.measure(config, problems)
    return measured.longest if measured else config.rollout.max_prompt_tokens


def _needs(runs: Sequence[Run]) -> Iterator[float]:
    """What a run of each arm needs; prompts that several share are measured once."""
    longest: dict[str, int] = {}
    for config in (run.config for run in _one_of_each(runs)):
        prompts = f"{config.env} {config.model} {config.rollout.max_prompt_tokens}"
        if prompts not in longest:
            longest[prompts] = longest_prompt(config)
        if (need := bytes_needed(config, longest[prompts])) is not None:
            yield need


def _one_of_each(runs: Sequence[Run]) -> list[Run]:
    """One run of every arm on every environment: seeds take the same memory."""
    return list({(run.arm, run.env): run for run in runs}.values())
