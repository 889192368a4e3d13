"""Builds the parts of a training run from its config, and describes them before training starts.

It names no algorithm and no environment: both come from their registries.
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.budget import Allowance, allowance
from mssr_rl.config import Config
from mssr_rl.correction import Correction
from mssr_rl.engine_protocol import Engine, Sampling, UpdatePlan
from mssr_rl.envs import ProblemEnv
from mssr_rl.loss import PolicyLoss
from mssr_rl.models import native
from mssr_rl.objective import ViewTerm
from mssr_rl.problem import Problem
from mssr_rl.run import plugin_sources, problem_stream, provenance, splits
from mssr_rl.run.rehearsal import rehearse
from mssr_rl.run.scoring import EvalPlan
from mssr_rl.run.splits import Splits
from mssr_rl.seeds import derive

MakeEngine = Callable[[Config], Engine]
KL_ROLLOUTS = 64  # kl_step is measured on at least this many rollouts of a step
# An evaluation block holds the rollouts of this many training steps. It needs no memory for
# gradients, and large blocks are faster.
EVALUATED_TOGETHER = 4


class TrainingSetup(NamedTuple):
    """The parts of a run: algorithm, engine, data splits and budget."""

    config: Config
    algorithm: Algorithm
    splits: Splits
    engine: Engine
    group_size: int
    allowance: Allowance
    make_engine: MakeEngine  # makes a new engine if this one is lost
    initial_rollouts: int = 0  # drawn before step 1, charged to the budget

    @property
    def train(self) -> ProblemEnv:
        """The training problems."""
        return self.splits.train

    @property
    def val(self) -> ProblemEnv:
        """The problems that are scored during training."""
        return self.splits.val

    @property
    def test(self) -> ProblemEnv:
        """The problems that are scored at the end."""
        return self.splits.test

    @property
    def problems_per_step(self) -> int:
        """P, the number of problems per step."""
        return self.config.train.rollouts_per_step // self.group_size

    @property
    def greedy_per_step(self) -> int:
        """The number of greedy rollouts that a step samples for a baseline."""
        return self.algorithm.greedy_rollouts(self.problems_per_step)

    @property
    def sampling(self) -> Sampling:
        """The sampling parameters of training responses."""
        rollout = self.config.rollout
        return Sampling(
            temperature=rollout.temperature,
            top_p=rollout.top_p,
            max_response_tokens=rollout.max_response_tokens,
        )

    def update_plan(self, step: int, epoch: int) -> UpdatePlan:
        """Return the plan for one pass over the rollouts of a step."""
        return UpdatePlan(
            loss=self.loss,
            samples_per_update=self.config.train.samples_per_update,
            seed=derive(self.config.seed, "update", step, epoch),
            extras=self.algorithm.extras,
            correction=self.correction,
        )

    def seen(
        self, term: ViewTerm, step: int, rows: Sequence[int], problems: Sequence[Problem]
    ) -> tuple[Problem, ...]:
        """Return `problems`, posed in this step, as the view `term` changes them.

        They are the training problems `rows`, with the noise of this visit if there is any. The
        change of each row has its own seed.
        """
        seeds = (derive(self.config.seed, "view", term.metric, step, row) for row in rows)
        return tuple(map(term.change, problems, seeds))

    @property
    def correction(self) -> Correction:
        """The importance weights that correct for a sampler other than the trainer's program."""
        if (cap := self.config.cluster.importance_cap) is not None:  # its older spelling
            return Correction(method="token_truncate", cap=cap)
        rollout = self.config.rollout
        if rollout.correction_cap is None:
            return Correction(method=rollout.correction)
        return Correction(method=rollout.correction, cap=rollout.correction_cap)

    @property
    def loss(self) -> PolicyLoss:
        """The algorithm's loss, prepared for this run's response limit (`PolicyLoss.within`)."""
        return self.algorithm.loss.within(self.config.rollout.max_response_tokens)

    @property
    def kl_problems(self) -> int:
        """The number of problems of a step on which `kl_step` is measured, at most P."""
        return min(self.problems_per_step, ceil(KL_ROLLOUTS / self.group_size))


def eval_plan(config: Config) -> EvalPlan:
    """Return the settings with which the splits are scored.

    `rollout.top_p` is not used: an evaluation samples from the whole distribution.
    """
    return EvalPlan(
        sampling=Sampling(max_response_tokens=config.rollout.max_response_tokens, scored=False),
        samples=config.eval.samples,
        limit=config.eval.limit,
        at_once=EVALUATED_TOGETHER * config.train.rollouts_per_step,
        seed=config.seed,
        unscorable=config.fault.unscorable,
    )


def assemble(config: Config, make_engine: MakeEngine) -> TrainingSetup:
    """Build the algorithm, the splits and the engine that a config names.

    The config must have passed `crosscheck`, so its sizes fit together.
    """
    algorithm = algorithms.make(config.algo.name, **config.algo.options)
    data = splits.read_splits(config)
    train = data.train
    for env in (train, data.val, data.test):
        rehearse(env, config.env.name, config.fault.unscorable)
    initial = initial_rollouts(algorithm, len(train.problems))
    group_size = config.rollout.group_size or algorithm.default_group_size
    per_step = config.train.rollouts_per_step
    greedy = algorithm.greedy_rollouts(per_step // group_size)
    return TrainingSetup(
        config=config,
        algorithm=algorithm,
        allowance=allowance(config.budget.rollouts, per_step, initial, greedy),
        initial_rollouts=initial,
        group_size=group_size,
        splits=data,
        engine=started(config, make_engine, train),
        make_engine=make_engine,
    )


def started(config: Config, make_engine: MakeEngine, train: ProblemEnv) -> Engine:
    """Return a new engine that has received the problems of the first epoch in their order."""
    engine, problems = make_engine(config), train.problems
    order = problem_stream.epoch_order(config.seed, 0, len(problems))
    engine.expect([problems[row] for row in order])
    return engine


def initial_rollouts(algorithm: Algorithm, problems: int) -> int:
    """Return how many rollouts an algorithm draws before step 1."""
    wanted = algorithm.advantage.initial
    return wanted.per_problem * problems if wanted else 0


def opening(arm: TrainingSetup) -> list[str]:
    """Return a few lines that describe the run to the person who started it."""
    c, a = arm.config, arm.allowance
    per_step = c.train.rollouts_per_step
    updates = ceil(per_step / c.train.samples_per_update) * c.train.epochs
    counts = " / ".join(
        f"{len(env.problems):,} {env.split}" for env in (arm.train, arm.val, arm.test)
    )
    options = " ".join(f"{name}={value}" for name, value in splits.shown_options(c).items())
    where = f"{c.engine.name}: {c.engine.device}, {c.engine.threads} threads, {c.engine.dtype}"
    greedy = f" and {arm.greedy_per_step} greedy ones" if arm.greedy_per_step else ""
    problems = f"{arm.problems_per_step} problems × {arm.group_size}"
    shape = f"{per_step} ({problems}){greedy}, {updates} updates"
    left = f", {a.left} left unspent" if a.left else ""
    first = f"{arm.initial_rollouts:,} initial ones, then " if arm.initial_rollouts else ""
    steps = f"{'at most ' if arm.algorithm.resampling else ''}{a.steps:,} steps"
    plain = c.engine.name == "local" and c.engine.device == "cpu" and c.engine.dtype == "float32"
    slower = plain and native.kernels().library is None
    return [
        f"algo    {c.algo.name}, seed {c.seed}, recipe {c.recipe}",
        f"model   {c.model.source} on engine {where}",
        f"family  {arm.engine.computes}",
        f"data    {c.env.name} {options}: {counts} problems",
        f"budget  {c.budget.rollouts:,} rollouts: {first}{steps} of {shape}{left}",
        *splits.lines(arm.splits),
        *([f"slower  {native.kernels().why}"] if slower else []),
    ]


def facts(arm: TrainingSetup) -> Mapping[str, Any]:
    """Return the entries of run.json that describe a run, except its config."""
    c = arm.config
    first_epoch = problem_stream.epoch_order(c.seed, 0, len(arm.train.problems))
    keys = (arm.train.problems[row].key for row in first_epoch)
    kl_rollouts = arm.kl_problems * arm.group_size
    return {
        "versions": provenance.versions(),
        "program": {"source": provenance.program_hash()},
        "plugins": plugin_sources.of(c),
        "git": provenance.git_revision(),
        "machine": provenance.machine(),
        **splits.data_record(arm.splits),
        "model": {"path": c.model.path, "hash": provenance.model_hash(c.model.source)},
        # An algorithm that samples its problems has no order that another arm could share.
        "problem_order": None
        if arm.algorithm.problem_weights
        else provenance.order_fingerprint(keys),
        "steps": arm.allowance.steps,
        "initial_rollouts": arm.initial_rollouts,
        "rollouts_left_unspent": arm.allowance.left,
        "group_size": arm.group_size,
        "kl_step_measured_on": f"{kl_rollouts} of {c.train.rollouts_per_step} rollouts of each "
        f"step: {arm.kl_problems} whole problems, drawn with the run's seed",
    }
