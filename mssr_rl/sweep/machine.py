"""Compute how many runs can train at once, from the cores and the memory of each machine."""

import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import psutil

from mssr_rl.config import Config
from mssr_rl.envs import environments
from mssr_rl.planning import memory, prompt_sizes
from mssr_rl.planning.prompt_sizes import PromptSizes
from mssr_rl.sweep.matrix import PlannedRun
from mssr_rl.sweep.runner import Share
from mssr_rl.sweep.settings import Settings

SPARE = 0.9  # share of the free memory that runs may use


class Machine(NamedTuple):
    """The cores and the memory of a machine that can train runs."""

    cores: int
    memory: float  # bytes


def here() -> tuple[Machine, ...]:
    """Return this machine, with the cores that this process may use and the free memory."""
    return (Machine(len(os.sched_getaffinity(0)), psutil.virtual_memory().available),)


def threads(settings: Settings, runs: int, nodes: Sequence[Machine]) -> str:
    """Return the default of `engine.threads`: the cores divided by the number of parallel runs."""
    cores = sum(node.cores for node in nodes)
    each = cores // min(settings.jobs or cores, max(1, runs)) if cores else 1
    return str(max(1, min(each, *(node.cores for node in nodes))))


def share(settings: Settings, runs: Sequence[PlannedRun], nodes: Sequence[Machine]) -> Share:
    """Return how many runs train at once, at least one, and the threads of each."""
    each = max(run.config.engine.threads for run in runs)
    if settings.jobs is not None:
        return Share(settings.jobs, each)
    need = max(_needs(runs), default=1.0)
    fit = (min(node.cores // each, int(SPARE * node.memory / need)) for node in nodes)
    return Share(max(1, min(sum(fit), len(runs))), each)


def bytes_needed(config: Config, prompts: PromptSizes | None) -> float | None:
    """Return the predicted memory of a run in bytes; None if the model is not on this machine."""
    try:
        return memory.need(config, prompts).parts.peak
    except FileNotFoundError:
        return None


def prompt_lengths(config: Config) -> PromptSizes | None:
    """Return the lengths of the training prompts; None if the model is not on this machine."""
    problems = environments.make(config.env.name, split="train", **config.env.options).problems
    return prompt_sizes.measure(config, problems)


def _needs(runs: Sequence[PlannedRun]) -> Iterator[float]:
    """Yield the memory in bytes that a run of each arm and environment needs.

    Arms with the same prompts share one measurement.
    """
    measured: dict[str, PromptSizes | None] = {}
    for config in (run.config for run in _one_of_each(runs)):
        prompts = f"{config.env} {config.model} {config.rollout.max_prompt_tokens}"
        if prompts not in measured:
            measured[prompts] = prompt_lengths(config)
        if (need := bytes_needed(config, measured[prompts])) is not None:
            yield need


def _one_of_each(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return one run per arm and environment; other seeds need the same memory."""
    return list({(run.arm, run.env): run for run in runs}.values())
