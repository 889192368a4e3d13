"""Test that the numbers of a config fit together.

Each error names both settings and says what to change. `compose` calls `settle` last. After it, the
group size is a number, and steps, updates and groups divide without a remainder.
"""

from dataclasses import replace
from pathlib import Path

from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.budget import allowance
from mssr_rl.config import engines, recorded
from mssr_rl.config.schema import Config
from mssr_rl.errors import UserError


def settle(config: Config) -> Config:
    """Return the config with its group size filled in.

    Raises UserError if two settings contradict each other.
    """
    algorithm = algorithms.make(config.algo.name, **config.algo.options)
    group_size = config.rollout.group_size or algorithm.default_group_size
    if group_size < algorithm.min_group_size:
        raise UserError(_too_few(config.algo.name, group_size, algorithm.min_group_size))
    settled = replace(config, rollout=replace(config.rollout, group_size=group_size))
    _check_revision(config)
    _check_steps(settled, group_size)
    engines.check_engine(settled)
    greedy = algorithm.greedy_rollouts(config.train.rollouts_per_step // group_size)
    allowance(config.budget.rollouts, config.train.rollouts_per_step, greedy=greedy)
    _check_bounds(config)
    _check_accepted(config)
    return settled


def _check_revision(config: Config) -> None:
    path, revision = config.model.path, config.model.revision
    if revision is not None and (path == "tiny" or Path(path).is_dir()):
        raise UserError(
            f"model.revision={revision} pins a model of the hub, and model.path={path} is a folder "
            "on this machine; leave model.revision out"
        )


def _check_accepted(config: Config) -> None:
    recorded.check_accepted(config.accept)
    if config.accept and not config.resume:
        raise UserError(
            f"accept=[{','.join(config.accept)}] has a meaning only for a resumed run; add "
            "resume=true, or leave it out"
        )


def _check_steps(config: Config, group_size: int) -> None:
    step = ("train.rollouts_per_step", config.train.rollouts_per_step)
    update = ("train.samples_per_update", config.train.samples_per_update)
    group = ("rollout.group_size", group_size)
    for (whole, total), (part, size) in ((step, group), (update, group), (step, update)):
        if total % size:
            raise UserError(
                f"{whole}={total} is not a multiple of {part}={size}; "
                f"{total // size * size or size} or {(total // size + 1) * size} would be"
            )


def _check_bounds(config: Config) -> None:
    train = config.train
    step = train.rollouts_per_step // train.samples_per_update * train.epochs
    if config.budget.updates is not None and config.budget.updates < step:
        raise UserError(
            f"budget.updates={config.budget.updates} is less than one step, which takes {step} "
            "updates; raise the budget or make the steps smaller"
        )
    if config.budget.gpu_seconds is not None and not config.engine.device.startswith("cuda"):
        raise UserError(
            f"budget.gpu_seconds has no effect on engine.device={config.engine.device}; "
            "use budget.seconds"
        )


def _too_few(name: str, group_size: int, minimum: int) -> str:
    others = [other for other in algorithms.names() if _minimum(other) <= group_size]
    return (
        f"rollout.group_size={group_size}, but {name} compares answers to one problem and needs at "
        f"least {minimum}; raise it, or choose an algorithm that needs fewer: {', '.join(others)}"
    )


def _minimum(name: str) -> int:
    made: Algorithm = algorithms.make(name)
    return made.min_group_size
