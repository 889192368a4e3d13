"""What an advantage estimator is made of: small pure steps, and a chain of them, after optax.

A step maps advantages to advantages. A chain starts from the verified rewards, and every step does
one thing: subtract a baseline, rescale, spread over tokens, reshape. `advantage` holds the steps,
`tracker` the one with a memory, `state` turns memories into checkpoints.

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
    """What a step may read; all rollouts of a training step, on the CPU. Nothing writes to it."""

    reward_B: Tensor  # float64: verified outcome, in [0, 1]
    problem_B: Tensor  # int64: row of the problem in the training set, in [0, N)
    mask_BT: Tensor  # 1 on response tokens, 0 elsewhere; its dtype is the result's
    logprob_BT: Tensor  # of the sampled token under the rollout policy [nat]
    entropy_BT: Tensor | None = None  # of the rollout policy, over the full vocabulary [nat]
    logprob_ref_BT: Tensor | None = None  # of the sampled token under the frozen policy [nat]
    kl_step: float | None = None  # KL between the policies before and after the last update
    group_size: int = (
        1  # G; 0 where groups are unequal, so that nobody cuts them wrongly in silence
    )
    # int64: which of the P groups a rollout is in, where rollouts were left out because nothing
    # could score them, so that groups are unequal; None: G consecutive ones each.
    group_B: Tensor | None = None
    response_limit: int | None = None  # tokens a response could have had; None: not known


class Step(NamedTuple):
    """What one application of a transform gives."""

    advantage: Tensor
    state: Any
    metrics: Mapping[str, float]


class InitialRollouts(NamedTuple):
    """What a step wants to see before the first training step; charged to the budget.

    A reward that nothing could score is NaN where `fault.unscorable=leave_out`; what is learnt must
    not depend on it, nor hold NaN.
    """

    per_problem: int
    learn: Callable[[Any, Tensor], Any]  # state, rewards [N, per_problem] -> state


class Transform(NamedTuple):
    """A named pair of pure functions."""

    name: str
    takes: Per
    gives: Per
    init: Callable[[int], Any]  # N -> state: None, or nested tuples of tensors and numbers
    update: Callable[[Tensor, Batch, Any], Step]  # advantages, batch, state -> Step
    initial: InitialRollouts | None = None
    parts: tuple["Transform", ...] = ()  # of a chain


def chain(*steps: Transform) -> Transform:
    """Run `steps` in order; the state is the tuple of their states, the metrics are merged.

    Raises:
        UserError: no step, one that does not take what the one before it gives, or two that want
            initial rollouts.
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
            a, new, measured = step.update(a, batch, old)
            new_states.append(new)
            metrics |= measured
        return Step(a, tuple(new_states), metrics)

    name = " > ".join(step.name for step in steps)
    return Transform(name, steps[0].takes, steps[-1].gives, init, update, _initial(steps), steps)


def _initial(steps: tuple[Transform, ...]) -> InitialRollouts | None:
    """What the one step that wants initial rollouts wants, passed on to its place in the chain."""
    wanting = [(place, s.initial) for place, s in enumerate(steps) if s.initial]
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
    """Lift a plain function of (advantages, batch) into a transform."""
    return Transform(name, takes, gives, lambda n: None, lambda a, b, s: Step(f(a, b), None, {}))
