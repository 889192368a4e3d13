"""Compute the numbers that follow from an arm's settings and that arms must share to be comparable.

`fairness` compares them. The counts come from `planning`. The fingerprints are the same that a run
writes to its run.json. So they can be checked again afterwards.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cache

from mssr_rl.algos import algorithms
from mssr_rl.config import Config
from mssr_rl.data.sources import SPLITS
from mssr_rl.envs import ProblemEnv, environments
from mssr_rl.loss import losses
from mssr_rl.planning.plan import schedule
from mssr_rl.run import plugin_sources, provenance
from mssr_rl.run.arm import eval_plan, initial_rollouts
from mssr_rl.run.splits import held_apart
from mssr_rl.sweep.fairness import Derived

INITIAL = "initial rollouts"
GREEDY = "greedy rollouts per step"
STEPS = ("budget.", "train.rollouts_per_step", INITIAL, GREEDY)
UPDATES = ("train.rollouts_per_step", "train.samples_per_update", "train.epochs")
GROUP = "rollout.group_size"
Derive = Callable[[Config], Mapping[str, Derived]]


def deriver() -> Derive:
    """Return a function that computes the derived numbers of a config.

    The function reads every set of problems and every model only once.
    """
    hashed = cache(provenance.model_hash)

    @cache
    def splits_of(name: str, options: str) -> tuple[ProblemEnv, ProblemEnv, ProblemEnv]:
        train, val, test = (_read(name, split, options) for split in SPLITS)
        held_apart(train, val, test)  # each run would refuse it: better before there is any
        return train, val, test

    def derive(config: Config) -> dict[str, Derived]:
        envs = splits_of(config.env.name, json.dumps(dict(config.env.options)))
        sets = dict(zip(SPLITS, envs, strict=True))
        return {
            **_counts(config, len(sets["train"].problems)),
            **{f"{split} problems": _problems(env) for split, env in sets.items()},
            "evaluation card": _card(config, sets),
            "initial weights": Derived(hashed(config.model.source), ("model.",)),
            "policy loss": Derived(_loss(config), ("algo.",), defines=True),
        }

    return derive


def _read(name: str, split: str, options: str) -> ProblemEnv:
    return environments.make(name, split=split, **json.loads(options))


def _counts(config: Config, train: int) -> dict[str, Derived]:
    algorithm = algorithms.make(config.algo.name, **config.algo.options)
    plan = schedule(config, initial_rollouts(algorithm, train))
    charged = config.train.rollouts_per_step + plan.greedy
    posed = ("env.", GROUP, *STEPS)
    prompts = plan.posed(train)
    counted = {
        "steps": Derived(plan.steps, STEPS),
        "updates in all": Derived(plan.steps * plan.updates_per_step, (*STEPS, *UPDATES)),
        "prompts in all": Derived(prompts, posed),
        "passes over the problems": Derived(round(prompts / train, 3), posed),
        "evaluations": Derived(plan.evaluations, (*STEPS, "eval.every")),
    }
    if algorithm.resampling:
        counted = {name: _at_most(one) for name, one in counted.items()}
    return {
        INITIAL: Derived(plan.initial, ("algo.", "env.")),
        GREEDY: Derived(plan.greedy, ("algo.", GROUP)),
        "rollouts": Derived(plan.initial + plan.steps * charged, STEPS),
        "problems per step": Derived(plan.problems_per_step, (GROUP, "train.rollouts_per_step")),
        "updates per step": Derived(plan.updates_per_step, UPDATES),
        **counted,
    }


def _loss(config: Config) -> str:
    """Return the name of the loss; for a plug-in, also a hash of its source code."""
    made = type(algorithms.make(config.algo.name, **config.algo.options).loss)
    name, source = losses.name_of(made), plugin_sources.digest(made.__module__)
    return f"{name}" if source is None else f"{name} · {source}"


def _at_most(count: Derived) -> Derived:
    """Return a count marked as an upper bound.

    An algorithm that drops groups may make fewer steps than planned.
    """
    return Derived(f"at most {count.value}", ("algo.", *count.follows_from))


def _problems(env: ProblemEnv) -> Derived:
    """Return the number of problems, and a hash of their pictures, prompts and answers in order."""
    return Derived(f"{len(env.problems)} · {env.fingerprint()[:8]}", ("env.",))


def _card(config: Config, sets: Mapping[str, ProblemEnv]) -> Derived:
    """Return a hash of how accuracy is measured: problems, prompts and sampling.

    The seed of the evaluation is not included: it is the seed of the run, which paired arms share.
    """
    plan = asdict(eval_plan(config))
    card = {key: plan[key] for key in ("sampling", "samples", "limit")}
    held_out = {split: sets[split].fingerprint() for split in ("val", "test")}
    text = json.dumps([card, held_out, config.env.name], sort_keys=True)
    digest = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    return Derived(digest, ("env.", "eval.samples", "eval.limit", "rollout.max_response_tokens"))
