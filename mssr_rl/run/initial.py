"""Before step 1, where an algorithm asks for it: the initial policy answers every training problem.

A tracker that starts from such answers knows more than one that does not, so they are charged to
the budget like all others. Drawn at training temperature, graded by the same verifier.

Shapes: N training problems, K initial rollouts of each.
"""

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from mssr_rl.advantage import state_tensors
from mssr_rl.budget import Ledger
from mssr_rl.errors import RunFailed
from mssr_rl.run.arm import TrainingSetup
from mssr_rl.run.checkpoint import TrainState
from mssr_rl.run.gather import Poll, generation_cost
from mssr_rl.run.marking import graded
from mssr_rl.run.stopwatch import Clock
from mssr_rl.seeds import derive


class Answers(NamedTuple):
    """What the initial policy got right, and what it cost."""

    reward_NK: Tensor  # float64
    spent: Ledger


def is_due(arm: TrainingSetup, state: TrainState) -> bool:
    """Whether the algorithm still waits for its initial rollouts."""
    return bool(arm.initial_rollouts) and state.ledger.initial_rollouts == 0


def initialised(arm: TrainingSetup, state: TrainState, poll: Poll) -> TrainState:
    """The state with what the algorithm learns from its initial rollouts, and their cost."""
    wanted = arm.algorithm.advantage.initial
    assert wanted is not None  # `is_due` said so
    found = _answers(arm, wanted.per_problem, poll)
    learnt = wanted.learn(state.algorithm, found.reward_NK)
    if any(not tensor.isfinite().all() for tensor in state_tensors(learnt).values()):
        raise RunFailed(
            f"{arm.config.algo.name} learnt NaN or infinity from its initial rollouts, "
            f"{int(found.reward_NK.isnan().sum())} of which have no reward (NaN); its "
            "InitialRollouts.learn must leave those out"
        )
    return state._replace(
        algorithm=learnt,
        ledger=state.ledger + found.spent,
    )


def _answers(arm: TrainingSetup, per_problem: int, poll: Poll) -> Answers:
    """K answers to each of the N problems, as many at once as a step has."""
    size, clock = len(arm.train.problems), Clock()
    at_once = max(1, arm.config.train.rollouts_per_step // per_problem)
    rewards: list[float] = []
    spent = Ledger()
    for start in range(0, size, at_once):
        poll("rollout")
        rows = range(start, min(start + at_once, size))
        problems = [arm.train.problems[row] for row in rows]
        with clock.phase("rollout"):
            seed = derive(arm.config.seed, "initial", start)
            sampling = replace(arm.sampling, scored=False)  # only rewards are wanted
            rollouts = arm.engine.rollout(problems, per_problem, sampling, seed)
        poll("reward")
        with clock.phase("reward"):
            samples = graded(arm.train, rows, rollouts, arm.config.fault.unscorable)
        rewards += [sample.graded.reward for sample in samples]
        unscorable = sum(not sample.scored for sample in samples)
        spent += generation_cost(rollouts) + Ledger(unscorable_rollouts=unscorable)
    poll("start")  # a signal may have hit the graders too: then nothing is learned from their word
    seconds = Ledger(initial_rollouts=spent.rollouts, seconds_by_phase=clock.seconds())
    reward_NK = torch.tensor(rewards, dtype=torch.float64).view(size, per_problem)
    return Answers(reward_NK, spent + seconds)
