"""How many runs fit at once, by the cores and the memory of each machine."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from mssr_rl.config import Config
from mssr_rl.envs import environments
from mssr_rl.models import model_folder
from mssr_rl.planning import memory, prompt_sizes
from mssr_rl.sweep.matrix import PlannedRun
from mssr_rl.sweep.runner import Share
from mssr_rl.sweep.settings import Settings

SPARE = 0.9  # of the free memory


class Machine(NamedTuple):
    """A machine that runs may be started on."""

    cores: int
    memory: float  # bytes


def here() -> tuple[Machine, ...]:
    """This machine: the cores this process may use, and the memory that is free."""
    return (Machine(len(os.sched_getaffinity(0)), psutil.virtual_memory().available),)


def threads(settings: Settings, runs: int, nodes: Sequence[Machine]) -> str:
    """`engine.threads` of every run where nobody says it: the cores divided by the runs."""
    cores = sum(node.cores for node in nodes)
    each = cores // min(settings.jobs or cores, max(1, runs)) if cores else 1
    return str(max(1, min(each, *(node.cores for node in nodes))))


def share(settings: Settings, runs: Sequence[PlannedRun], nodes: Sequence[Machine]) -> Share:
    """Runs at once, and threads of each; one run is always started."""
    each = max(run.config.engine.threads for run in runs)
    if settings.jobs is not None:
        return Share(settings.jobs, each)
    need = max(_needs(runs), default=1.0)
    fit = (min(node.cores // each, int(SPARE * node.memory / need)) for node in nodes)
    return Share(max(1, min(sum(fit), len(runs))), each)


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


def _needs(runs: Sequence[PlannedRun]) -> Iterator[float]:
    """What a run of each arm needs; prompts that several share are measured once."""
    longest: dict[str, int] = {}
    for config in (run.config for run in _one_of_each(runs)):
        prompts = f"{config.env} {config.model} {config.rollout.max_prompt_tokens}"
        if prompts not in longest:
            longest[prompts] = longest_prompt(config)
        if (need := bytes_needed(config, longest[prompts])) is not None:
            yield need


def _one_of_each(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """One run of every arm on every environment: seeds take the same memory."""
    return list({(run.arm, run.env): run for run in runs}.values())
