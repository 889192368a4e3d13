"""Describe a run before it starts: its counts, model, data and memory, for `train --plan`.

The counts are computed by `budget` and the trainer's own functions, so they are those of the
finished run's ledger. Only the problems are read; no engine is started.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mssr_rl.algos import Algorithm, Resampling, algorithms
from mssr_rl.budget import SOFT, allowance
from mssr_rl.config import Config, EngineConfig, hydra_groups
from mssr_rl.loss import PolicyLoss, losses
from mssr_rl.planning import memory, prompt_sizes
from mssr_rl.problem import Problem
from mssr_rl.run import splits
from mssr_rl.run.arm import initial_rollouts
from mssr_rl.typed import show


class Schedule(NamedTuple):
    """The numbers of steps, rollouts, updates and evaluations of a whole run."""

    steps: int
    left: int  # rollouts of the budget that remain, too few for a step
    problems_per_step: int
    group_size: int
    updates_per_step: int  # over all epochs of a step
    evaluations: int  # on val: before step 1, during training, and after the last step
    initial: int = 0  # rollouts before step 1
    greedy: int = 0  # rollouts of a step that are sampled for a baseline only

    @property
    def problems(self) -> int:
        """The number of problems in all steps; a repeated problem counts each time."""
        return self.steps * self.problems_per_step

    def posed(self, train: int) -> int:
        """Return the number of problems in all steps and in the initial rollouts.

        Initial rollouts use each of the `train` training problems once.
        """
        return self.problems + (train if self.initial else 0)


def schedule(config: Config, initial: int = 0) -> Schedule:
    """Return the schedule of a run; `initial` is its number of rollouts before step 1."""
    per_step, group_size = config.train.rollouts_per_step, config.rollout.group_size or 1
    algorithm = algorithms.make(config.algo.name, **config.algo.options)
    greedy = algorithm.greedy_rollouts(per_step // group_size)
    bought = allowance(config.budget.rollouts, per_step, initial, greedy)
    every = config.eval.every or bought.steps
    updates = per_step // config.train.samples_per_update * config.train.epochs
    steps = min(bought.steps, (config.budget.updates or bought.steps * updates) // updates)
    return Schedule(
        steps=steps,
        left=bought.left + (bought.steps - steps) * (per_step + greedy),
        problems_per_step=per_step // group_size,
        group_size=group_size,
        updates_per_step=updates,
        evaluations=1 + -(-steps // every),
        initial=initial,
        greedy=greedy,
    )


def words(config: Config) -> list[str]:
    """Return the plan of a run as lines, one for each subject."""
    data = splits.read_splits(config)
    problems = _problems(data)
    sizes = {split: len(some) for split, some in problems.items()}
    prompts = prompt_sizes.measure(config, problems["train"])
    algorithm = algorithms.make(config.algo.name, **config.algo.options)
    plan = schedule(config, initial_rollouts(algorithm, sizes["train"]))
    at_most = "at most " if algorithm.resampling else ""
    lines = {
        "algorithm": _choice(config.algo.name, config.algo.options),
        "loss": _loss(algorithm.loss),
        "problems": f"{_choice(config.env.name, splits.shown_options(config))}: {_counts(sizes)}",
        **_of_rows(data),
        "prompts": prompt_sizes.sentence(prompts, config.rollout.max_prompt_tokens),
        "model": memory.describe(config.model.path),
        "engine": _engine(config.engine),
        **({"before it": _before(config, algorithm, plan)} if plan.initial else {}),
        "a step": _step(config, plan, algorithm.resampling),
        "the run": at_most + _run(config, plan, sizes["train"]),
        "evaluation": _evaluation(config, plan, sizes),
        "checkpoints": _checkpoints(config),
        **(memory.estimate(config, prompts) if config.engine.name == "local" else {}),
        "seed": f"{config.seed}, recipe {config.recipe}; nothing was started",
    }
    unequal = hydra_groups.per_algo(config.recipe)
    if unequal:
        lines["unequal"] = _unequal(unequal)
    if config.engine.name == "openrlhf":
        from mssr_rl.planning import cluster

        lines |= cluster.words(config, prompts)
    return [f"{subject:<12} {sentence}" for subject, sentence in lines.items()]


def _unequal(per_algo: Mapping[str, Any]) -> str:
    """Return a phrase that lists the settings that a recipe gives to some algorithms only."""
    arms = [
        f"{algo} has "
        + " ".join(f"{s}.{k}={show(v)}" for s, keys in own.items() for k, v in keys.items())
        for algo, own in per_algo.items()
    ]
    return f"not the same for all, on purpose: {'; '.join(arms)}"


def problems_by_split(config: Config) -> dict[str, Sequence[Problem]]:
    """Return {split: problems} of a run's data."""
    return _problems(splits.read_splits(config))


def _problems(read: splits.Splits) -> dict[str, Sequence[Problem]]:
    return {env.split: env.problems for env in (read.train, read.val, read.test)}


def _of_rows(read: splits.Splits) -> dict[str, str]:
    """Return the plan's lines about the data as {subject: text}.

    They say how rows were read, which rows are left out, and what the splits have in common.
    """
    lines: dict[str, str] = {}
    for line in splits.lines(read):
        subject, _, sentence = line.partition(" ")
        known = f"{lines[subject]}; " if subject in lines else ""
        lines[subject] = known + sentence.strip()
    return lines


def _choice(name: str, options: Mapping[str, Any]) -> str:
    options_text = [f"{option}={show(value)}" for option, value in options.items()]
    return f"{name} ({', '.join(options_text)})" if options_text else name


def _loss(loss: PolicyLoss) -> str:
    name = losses.name_of(type(loss)) or type(loss).__name__
    return f"{name}: {losses.about(name).rstrip('.')}"


def _counts(sizes: dict[str, int]) -> str:
    return ", ".join(f"{size:,} {split}" for split, size in sizes.items())


def _engine(engine: EngineConfig) -> str:
    return f"{engine.name} on {engine.device}, {_many(engine.threads, 'thread')}, {engine.dtype}"


def _before(config: Config, algorithm: Algorithm, plan: Schedule) -> str:
    wanted = algorithm.advantage.initial
    assert wanted is not None
    share = plan.initial / config.budget.rollouts
    return (
        f"{_many(wanted.per_problem, 'answer')} of the initial policy to every training problem: "
        f"{_many(plan.initial, 'rollout')}, {share:.1%} of the budget"
    )


def _step(config: Config, plan: Schedule, resampling: Resampling | None) -> str:
    epochs = config.train.epochs
    passes = "" if epochs == 1 else f" ({epochs} passes over the rollouts)"
    return (
        f"{_many(plan.problems_per_step, 'problem')} × {_many(plan.group_size, 'answer')} = "
        f"{_many(config.train.rollouts_per_step, 'rollout')}; "
        f"{_many(plan.updates_per_step, 'update')} of {config.train.samples_per_update}{passes}"
        + (
            f"; groups are dropped, so up to {resampling.max_batches} times as many rollouts are "
            "drawn for it"
            if resampling
            else ""
        )
        + (f"; {_many(plan.greedy, 'greedy rollout')} for the baseline" if plan.greedy else "")
    )


def _run(config: Config, plan: Schedule, train: int) -> str:
    spent = plan.initial + plan.steps * (config.train.rollouts_per_step + plan.greedy)
    left = f"; {plan.left:,} of the budget stay unspent" if plan.left else ""
    left += "".join(
        f"; ends earlier once budget.{name}={show(bound)} is spent"
        for name in SOFT
        if (bound := getattr(config.budget, name)) is not None
    )
    return (
        f"{_many(plan.steps, 'step')} = {_many(spent, 'rollout')}, "
        f"{_many(plan.steps * plan.updates_per_step, 'update')}; every problem is posed "
        f"{plan.posed(train) / train:.1f} times{left}"
    )


def _evaluation(config: Config, plan: Schedule, sizes: dict[str, int]) -> str:
    val, test = (min(sizes[split], config.eval.limit or sizes[split]) for split in ("val", "test"))
    answers = 1 + config.eval.samples
    drawn = (plan.evaluations * val + test) * answers
    return (
        f"{plan.evaluations} × {_many(val, 'val problem')}, then {_many(test, 'test problem')}; "
        f"1 greedy and {config.eval.samples} sampled answers each: {_many(drawn, 'rollout')}, "
        "not charged to the budget"
    )


def _checkpoints(config: Config) -> str:
    when = f"every {_many(config.checkpoint.every, 'step')} and " if config.checkpoint.every else ""
    return f"{when}at the end; the newest {config.checkpoint.keep} and the best are kept"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
