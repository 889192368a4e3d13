"""The laws for algorithms, checked on small batches.

Each law is a function that returns None, or a sentence that says how the algorithm breaks it. An
algorithm can be code of the user, so it may fail in any way. Every failure is a finding.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from safetensors.torch import load, save
from torch import Tensor

from mssr_rl.advantage import Batch, restore_state, state_tensors
from mssr_rl.algos import Algorithm
from mssr_rl.check_algo import loss_laws
from mssr_rl.check_algo.batches import (
    NUM_PROBLEMS,
    changed,
    degenerate,
    draw,
    holed,
    tensors_of,
)
from mssr_rl.check_algo.own_reward import leak
from mssr_rl.config.compose import load as load_config
from mssr_rl.errors import UserError
from mssr_rl.loss import PolicyLoss

TOLERANCE = 1e-6


class CheckedAlgorithm(NamedTuple):
    """The name of an algorithm to check, and a function that makes it."""

    name: str
    make: Callable[[], Algorithm]  # makes a new one, as another process would


class Law(NamedTuple):
    """A law, and the function that checks it."""

    says: str
    broken: Callable[[CheckedAlgorithm], str | None]  # how it is broken; None if it holds


def pure(subject: CheckedAlgorithm) -> str | None:
    """Check that inputs are not changed, and that the same inputs give the same outputs."""
    algorithm = subject.make()
    batch, state = _batch(algorithm, 1), algorithm.advantage.init(NUM_PROBLEMS)
    before = _copies(batch, state)
    first = algorithm.advantage.update(batch.reward_B, batch, state)
    for name, now in _copies(batch, state).items():
        if not torch.equal(before[name], now):
            return f"{name} was written to; work on a copy and return it"
    again = algorithm.advantage.update(batch.reward_B, batch, state)
    if not torch.equal(first.advantage, again.advantage):
        return "two calls with the same inputs gave different advantages; keep memory in the state"
    return None


def padding(subject: CheckedAlgorithm) -> str | None:
    """Check that advantages are exactly 0 outside the responses, and on tokens without loss.

    Values there must not influence the advantages elsewhere.
    """
    algorithm = subject.make()
    usual = _batch(algorithm, 2)
    without_loss = _padding(algorithm, holed(usual))
    return _padding(algorithm, usual) or (without_loss and f"tokens without loss: {without_loss}")


def _padding(algorithm: Algorithm, batch: Batch) -> str | None:
    advantage_BT = _advantage(algorithm, batch)
    if (advantage_BT.dtype, advantage_BT.shape) != (torch.float32, batch.mask_BT.shape):
        given = f"{advantage_BT.dtype} {list(advantage_BT.shape)}"
        return f"gives {given} where the mask is torch.float32 BT"
    off = batch.mask_BT == 0
    if (advantage_BT[off] != 0).any():
        return "an advantage outside a response is not exactly 0; multiply by the mask at the end"
    noisy = changed(batch, lambda x: x.masked_fill(off, math.nan), "_BT")
    if not torch.equal(_advantage(algorithm, noisy._replace(mask_BT=batch.mask_BT)), advantage_BT):
        return "what stands outside the responses changes advantages; mask before you sum"
    wider = changed(batch, lambda x: torch.nn.functional.pad(x, (0, 3)), "_BT")
    if not _close(_advantage(algorithm, wider)[:, : advantage_BT.shape[1]], advantage_BT):
        return "more padding changes advantages; count tokens by the mask"
    return None


def finite(subject: CheckedAlgorithm) -> str | None:
    """Check that advantages are finite, also on degenerate batches."""
    algorithm = subject.make()
    for oddity, batch in degenerate(algorithm.default_group_size):
        advantage_BT = _advantage(algorithm, batch)
        if not advantage_BT.isfinite().all():
            return f"NaN or infinity {oddity}; a spread of 0 must not be divided by"
    return None


def order(subject: CheckedAlgorithm) -> str | None:
    """Check that the order of groups changes neither the advantages nor the new state.

    Algorithms whose definition depends on the place of a rollout (`by_place`) are not checked.
    """
    algorithm = subject.make()
    if algorithm.advantage.by_place:
        return None
    batch = _batch(algorithm, 4)
    group = batch.group_size
    groups = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    order_B = (groups[:, None] * group + torch.arange(group)).flatten()
    moved = changed(batch, lambda x: x[order_B])
    if not _close(_advantage(algorithm, moved), _advantage(algorithm, batch)[order_B]):
        return "the order of the groups in a batch changes their advantages"
    by_problem = changed(batch, lambda x: x[batch.problem_B.sort(stable=True).indices])
    one, two = (_memory(algorithm, b) for b in (batch, by_problem))
    if not all(torch.allclose(one[k].double(), two[k].double(), atol=1e-12) for k in one):
        return "the order of different problems in a batch changes what is remembered"
    return None


def reload(subject: CheckedAlgorithm) -> str | None:
    """Check that a state that was saved and loaded again gives the same further results."""
    algorithm, other = subject.make(), subject.make()
    first, second = _batch(algorithm, 6), _batch(algorithm, 7)
    state = algorithm.advantage.update(
        first.reward_B, first, algorithm.advantage.init(NUM_PROBLEMS)
    ).state
    tensors = load(save({k: x.contiguous() for k, x in state_tensors(state).items()}))
    restored = restore_state(other.advantage.init(NUM_PROBLEMS), tensors)
    resumed = other.advantage.update(second.reward_B, second, restored)
    straight = algorithm.advantage.update(second.reward_B, second, state)
    same = torch.equal(straight.advantage, resumed.advantage)
    one, two = state_tensors(straight.state), state_tensors(resumed.state)
    if not same or not all(torch.equal(one[name], two[name]) for name in one):
        return (
            "a run resumed from a checkpoint gives other results; everything it remembers must be "
            "in the state, as tensors and numbers"
        )
    return None


def own_reward(subject: CheckedAlgorithm) -> str | None:
    """Check that no rollout is part of its own tracked value."""
    algorithm = subject.make()
    return leak(algorithm.advantage, algorithm.default_group_size)


def group_size(subject: CheckedAlgorithm) -> str | None:
    """Check that the declared smallest group works, and that a smaller one is refused.

    The error for the smaller group must name the smallest size that works.
    """
    algorithm = subject.make()
    smallest = algorithm.min_group_size
    try:
        _advantage(algorithm, draw(9, smallest))
    except UserError as error:
        return f"min_group_size={smallest} is declared, but a batch of such groups fails: {error}"
    if smallest == 1:
        return None
    words = [f"algo={subject.name}", f"rollout.group_size={smallest - 1}"]
    try:
        load_config(words)
    except UserError as error:
        way_out = f"at least {smallest}" in str(error)
        return None if way_out else f"groups of {smallest - 1} are refused without a way out"
    return f"groups of {smallest - 1} are let through although min_group_size={smallest}"


def name(subject: CheckedAlgorithm) -> str | None:
    """Check that the algorithm's own name is the name under which it is registered."""
    own_name = subject.make().name
    return (
        None
        if own_name == subject.name
        else f"calls itself {own_name}, registered as {subject.name}"
    )


def of_loss(law: Callable[[PolicyLoss], str | None]) -> Callable[[CheckedAlgorithm], str | None]:
    """Return a law for algorithms from a law for losses; it checks the algorithm's loss."""
    return lambda subject: law(subject.make().loss)


LAWS = (
    Law("goes by its registered name", name),
    Law("writes to no input and gives the same twice", pure),
    Law("is exactly 0 outside the responses", padding),
    Law("is finite on degenerate batches", finite),
    Law("does not depend on the order of the problems", order),
    Law("goes on from a checkpoint as if never stopped", reload),
    Law("never holds a rollout against its own reward", own_reward),
    Law("works with the smallest group it declares and refuses a smaller one", group_size),
    Law(
        "has a loss that is the same for every cut into micro-batches",
        of_loss(loss_laws.micro_batches),
    ),
    Law("has a loss that does not depend on the order of responses", of_loss(loss_laws.order)),
    Law("has a loss that is exactly 0 outside the responses", of_loss(loss_laws.padding)),
    Law("has the policy gradient on fresh rollouts, or says why not", of_loss(loss_laws.fresh)),
    Law("has a loss that is finite for log-ratios up to +-1e4", of_loss(loss_laws.finite)),
    Law("has a loss that writes to no input and gives the same twice", of_loss(loss_laws.pure)),
)


def _batch(algorithm: Algorithm, seed: int) -> Batch:
    return draw(seed, algorithm.default_group_size)


def _advantage(algorithm: Algorithm, batch: Batch) -> Tensor:
    """Return the advantages of a batch, computed from a fresh state."""
    fresh = algorithm.advantage.init(NUM_PROBLEMS)
    return algorithm.advantage.update(batch.reward_B, batch, fresh).advantage


def _memory(algorithm: Algorithm, batch: Batch) -> dict[str, Tensor]:
    fresh = algorithm.advantage.init(NUM_PROBLEMS)
    return state_tensors(algorithm.advantage.update(batch.reward_B, batch, fresh).state)


def _copies(batch: Batch, state: Any) -> dict[str, Tensor]:
    copied = {f"the batch's {name}": x.clone() for name, x in tensors_of(batch).items()}
    return {**copied, **{f"the state's {n}": x for n, x in state_tensors(state).items()}}


def _close(one: Tensor, two: Tensor) -> bool:
    return torch.allclose(one, two, rtol=0, atol=TOLERANCE)
