"""The building blocks of an advantage estimator: pure steps and chains of steps, after optax.

A step maps advantages to advantages. A chain starts from the verified rewards, and each step does
one thing: it subtracts a baseline, rescales, copies values to tokens, or adds a bonus. The steps
are in the other modules of `advantage`; `state` saves their states to checkpoints.

Shapes: B rollouts of the batch, problem-major; P problems with G rollouts each (B = P * G); T
response tokens, right-padded; N training problems.
"""

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from torch import Tensor

from mssr_rl.errors import UserError

Per = Literal["rollout", "token"]


class Batch(NamedTuple):
    """The input of a step: all rollouts of a training step, on the CPU. Steps never change it."""

    reward_B: Tensor  # float64: verified outcome, in [0, 1]
    problem_B: Tensor  # int64: row of the problem in the training set, in [0, N)
    # 1 on response tokens, 0 elsewhere, also on tokens of a response that have no loss, such as a
    # tool's output. Its dtype is the result's.
    mask_BT: Tensor
    logprob_BT: Tensor  # of the sampled token under the rollout policy [nat]
    entropy_BT: Tensor | None = None  # of the rollout policy, over the full vocabulary [nat]
    logprob_ref_BT: Tensor | None = None  # of the sampled token under the frozen policy [nat]
    kl_step: float | None = None  # KL between the policies before and after the last update
    # G. 0 if the groups are unequal, so that code that assumes equal groups fails with an error.
    group_size: int = 1
    # int64: the group of each rollout, in [0, P). It is set if some rollouts could not be scored
    # and were left out, which makes groups unequal. None: every G consecutive rollouts are a group.
    group_B: Tensor | None = None
    truncated_B: Tensor | None = None  # bool: the length limit cut the response off
    response_limit: int | None = None  # the longest response allowed [tokens]; None: not known
    # float64: the reward of a greedy response to the rollout's problem, for `greedy_baseline`
    greedy_B: Tensor | None = None


class Step(NamedTuple):
    """The result of one call of a transform: advantages, new state and metrics."""

    advantage: Tensor
    state: Any
    metrics: Mapping[str, float]


class InitialRollouts(NamedTuple):
    """Rollouts that a step needs before the first training step; they are charged to the budget.

    With `fault.unscorable=leave_out`, the reward of a response that could not be scored is NaN.
    `learn` must ignore NaN, and its result must not contain NaN.
    """

    per_problem: int
    learn: Callable[[Any, Tensor], Any]  # state, rewards [N, per_problem] -> state


class Transform(NamedTuple):
    """A step: a name and two pure functions, `init` and `update`."""

    name: str
    takes: Per
    gives: Per
    init: Callable[[int], Any]  # N -> state: None, or nested tuples of tensors and numbers
    update: Callable[[Tensor, Batch, Any], Step]  # advantages, batch, state -> Step
    initial: InitialRollouts | None = None
    parts: tuple["Transform", ...] = ()  # of a chain
    by_place: bool = False  # by definition, a rollout's place in the batch matters


def chain(*steps: Transform) -> Transform:
    """Return a transform that runs `steps` in order.

    Its state is the tuple of their states, and their metrics are merged.

    Raises:
        UserError: there is no step, a step does not take what the step before it gives, or two
            steps need initial rollouts.
    """
    if not steps:
        raise UserError("chain() needs at least one step")
    for first, second in pairwise(steps):
        if first.gives != second.takes:
            raise UserError(
                f"{second.name} takes one advantage per {second.takes}, but {first.name} gives one "
                f"per {first.gives}"
            )

    def init(num_problems: int) -> tuple[Any, ...]:
        return tuple(step.init(num_problems) for step in steps)

    def update(a: Tensor, batch: Batch, states: tuple[Any, ...]) -> Step:
        new_states, metrics = [], dict[str, float]()
        for step, old in zip(steps, states, strict=True):
            # Every step gets the same batch: only the advantages move, so steps cannot depend on
            # order by what an earlier one wrote into the batch.
            a, new, measured = step.update(a, batch, old)
            new_states.append(new)
            metrics |= measured
        return Step(a, tuple(new_states), metrics)

    name = " > ".join(step.name for step in steps)
    ends, by_place = (steps[0].takes, steps[-1].gives), any(step.by_place for step in steps)
    return Transform(name, *ends, init, update, _initial(steps), steps, by_place)


def _initial(steps: tuple[Transform, ...]) -> InitialRollouts | None:
    """Return the initial rollouts that one of the steps needs; None if no step needs any.

    Their `learn` takes and returns the state of the whole chain.
    """
    wanting = [(place, s.initial) for place, s in enumerate(steps) if s.initial]
    # Two sets of initial rollouts would be charged twice, and an arm's budget would not be the
    # others'.
    if len(wanting) > 1:
        names = " and ".join(steps[place].name for place, _ in wanting)
        raise UserError(f"{names} both want initial rollouts; one step of a chain may")
    if not wanting:
        return None
    place, wanted = wanting[0]

    def learn(states: tuple[Any, ...], reward_NK: Tensor) -> tuple[Any, ...]:
        return (*states[:place], wanted.learn(states[place], reward_NK), *states[place + 1 :])

    return InitialRollouts(wanted.per_problem, learn)


def stateless(name: str, takes: Per, gives: Per, f: Callable[[Tensor, Batch], Tensor]) -> Transform:
    """Return a transform without state from a plain function of (advantages, batch)."""
    return Transform(name, takes, gives, lambda n: None, lambda a, b, s: Step(f(a, b), None, {}))
