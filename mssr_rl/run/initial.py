"""Initial rollouts: before step 1 the initial policy answers every training problem.

This happens only if the algorithm needs it, for example for the prior of a tracker. Such answers
are an advantage over other arms, so they are charged to the budget. They use the temperature and
the verifier of training.

Shapes: N training problems, K initial rollouts of each.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage import state_tensors
from mssr_rl.budget import Ledger
from mssr_rl.envs.visits import posed_for_training
from mssr_rl.errors import RunFailed
from mssr_rl.run.arm import TrainingSetup
from mssr_rl.run.checkpoint import TrainState
from mssr_rl.run.gather import Poll, generation_cost
from mssr_rl.run.marking import graded, noised
from mssr_rl.run.stopwatch import Clock
from mssr_rl.seeds import derive


class Answers(NamedTuple):
    """The rewards of the initial policy, and their cost."""

    reward_NK: Tensor  # float64
    spent: Ledger


def is_due(arm: TrainingSetup, state: TrainState) -> bool:
    """Return whether the algorithm still needs its initial rollouts."""
    return bool(arm.initial_rollouts) and state.ledger.initial_rollouts == 0


def initialised(arm: TrainingSetup, state: TrainState, poll: Poll) -> TrainState:
    """Draw the initial rollouts; return the state after the algorithm learned from them.

    Their cost is added to the ledger. Raises `RunFailed` if the algorithm's state then holds NaN
    or infinity.
    """
    wanted = arm.algorithm.advantage.initial
    assert wanted is not None  # `is_due` was true
    answers = _answers(arm, wanted.per_problem, poll)
    learnt = wanted.learn(state.algorithm, answers.reward_NK)
    if any(not tensor.isfinite().all() for tensor in state_tensors(learnt).values()):
        raise RunFailed(
            f"{arm.config.algo.name} learnt NaN or infinity from its initial rollouts, "
            f"{int(answers.reward_NK.isnan().sum())} of which have no reward (NaN); its "
            "InitialRollouts.learn must leave those out"
        )
    return state._replace(
        algorithm=learnt,
        ledger=state.ledger + answers.spent,
    )


def _answers(arm: TrainingSetup, per_problem: int, poll: Poll) -> Answers:
    """Return the rewards of K answers to each of the N problems, and their cost.

    The answers are generated in blocks. A block has about as many rollouts as a training step.
    """
    size, clock = len(arm.train.problems), Clock()
    at_once = max(1, arm.config.train.rollouts_per_step // per_problem)
    rewards: list[float] = []
    spent = Ledger()
    for start in range(0, size, at_once):
        poll("rollout")
        rows = range(start, min(start + at_once, size))
        visit = derive(arm.config.seed, "initial visit", start)
        with clock.phase("rollout"):
            problems = posed_for_training(arm.train, rows, visit)
            seed = derive(arm.config.seed, "initial", start)
            sampling = replace(arm.sampling, scored=False)  # only rewards are needed
            rollouts = arm.engine.rollout(problems, per_problem, sampling, seed)
        poll("reward")
        with clock.phase("reward"):
            samples = graded(arm.train, rows, rollouts, arm.config.fault.unscorable)
            samples = noised(arm.train, samples, visit)
        rewards += [sample.graded.reward for sample in samples]
        unscorable = sum(not sample.scored for sample in samples)
        spent += generation_cost(rollouts) + Ledger(unscorable_rollouts=unscorable)
    # A signal may also have stopped the graders. Then this poll ends the run, and the algorithm
    # does not learn from wrong rewards.
    poll("start")
    seconds = Ledger(initial_rollouts=spent.rollouts, seconds_by_phase=clock.seconds())
    reward_NK = torch.tensor(rewards, dtype=torch.float64).view(size, per_problem)
    return Answers(reward_NK, spent + seconds)
