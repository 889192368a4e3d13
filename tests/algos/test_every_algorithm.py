"""What holds for everything that is registered, ours or a plugin's: the conformance laws."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mssr_rl.advantage import Batch, restore_state, state_tensors
from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.loss import Loss

PROBLEMS = 12
every = pytest.mark.parametrize("name", algorithms.names())


def rollouts(algorithm: Algorithm, seed: int) -> Batch:
    """Eight problems, one of them twice, with groups as the algorithm likes them."""
    generator = torch.Generator().manual_seed(seed)
    group_size = algorithm.default_group_size
    rows = torch.tensor([3, 0, 7, 11, 3, 5, 1, 2])
    b = len(rows) * group_size
    length_B = torch.randint(1, 7, (b,), generator=generator)
    mask_BT = (torch.arange(6) < length_B[:, None]).float()
    draw = [torch.rand(b, 6, generator=generator) * mask_BT for _ in range(3)]
    return Batch(
        reward_B=torch.rand(b, generator=generator).round().double(),
        problem_B=rows.repeat_interleave(group_size),
        mask_BT=mask_BT,
        logprob_BT=-draw[0],
        entropy_BT=draw[1],
        logprob_ref_BT=-draw[2],
        kl_step=0.004,
        group_size=group_size,
    )


def advantage_of(algorithm: Algorithm, b: Batch) -> Tensor:
    return algorithm.advantage.update(b.reward_B, b, algorithm.advantage.init(PROBLEMS)).advantage


def changed(b: Batch, change: Callable[[Tensor], Tensor], ending: str = "") -> Batch:
    """The batch with a change made to every tensor whose name ends so."""
    tensors = {key: x for key, x in b._asdict().items() if isinstance(x, Tensor)}
    after: dict[str, Any] = {key: change(x) for key, x in tensors.items() if key.endswith(ending)}
    return b._replace(**after)


def with_rows(b: Batch, order: Tensor) -> Batch:
    return changed(b, lambda x: x[order])


def all_tensors(b: Batch, state: object) -> dict[str, Tensor]:
    in_batch = {key: x.clone() for key, x in b._asdict().items() if isinstance(x, Tensor)}
    return {**in_batch, **state_tensors(state)}


@every
def test_inputs_are_never_written_to(name: str) -> None:
    algorithm = algorithms.make(name)
    b, state = rollouts(algorithm, 1), algorithm.advantage.init(PROBLEMS)
    before = all_tensors(b, state)
    algorithm.advantage.update(b.reward_B, b, state)
    after = all_tensors(b, state)
    assert all(torch.equal(before[key], after[key]) for key in before)


@every
def test_advantages_are_float32_finite_and_zero_outside_the_responses(name: str) -> None:
    algorithm = algorithms.make(name)
    b = rollouts(algorithm, 2)
    a_BT = advantage_of(algorithm, b)
    assert (a_BT.dtype, a_BT.shape) == (torch.float32, b.mask_BT.shape)
    assert a_BT.isfinite().all()
    assert (a_BT[b.mask_BT == 0] == 0).all()
    assert (a_BT[b.mask_BT == 1] != 0).any()


@every
def test_what_stands_in_the_padding_never_matters(name: str) -> None:
    algorithm = algorithms.make(name)
    b = rollouts(algorithm, 3)
    off = b.mask_BT == 0
    noisy = changed(b, lambda x: x.masked_fill(off, math.nan), "_BT")._replace(mask_BT=b.mask_BT)
    wider = changed(b, lambda x: torch.nn.functional.pad(x, (0, 3)), "_BT")
    expected = advantage_of(algorithm, b)
    assert torch.equal(advantage_of(algorithm, noisy), expected)
    assert torch.allclose(advantage_of(algorithm, wider)[:, :6], expected, atol=1e-6)


@every
def test_permuting_whole_groups_permutes_the_advantages(name: str) -> None:
    algorithm = algorithms.make(name)
    b = rollouts(algorithm, 4)
    groups = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    g = b.group_size
    order = (groups[:, None] * g + torch.arange(g)).flatten()
    moved = advantage_of(algorithm, with_rows(b, order))
    assert torch.allclose(moved, advantage_of(algorithm, b)[order], atol=1e-6)


@every
def test_memory_depends_on_order_only_through_duplicates(name: str) -> None:
    algorithm = algorithms.make(name)
    b, fresh = rollouts(algorithm, 5), algorithm.advantage.init(PROBLEMS)
    order = b.problem_B.sort(stable=True).indices  # keeps the order among equals
    states = [
        algorithm.advantage.update(x.reward_B, x, fresh).state for x in (b, with_rows(b, order))
    ]
    one, two = (state_tensors(state) for state in states)
    assert one.keys() == two.keys()
    # Sums over the batch may differ in their last bit, and a rate that follows one with them.
    assert all(torch.allclose(one[key], two[key], rtol=0, atol=1e-12) for key in one)


@every
def test_a_resumed_run_continues_bit_for_bit(name: str, tmp_path: Path) -> None:
    algorithm = algorithms.make(name)
    update, fresh = algorithm.advantage.update, algorithm.advantage.init(PROBLEMS)
    first, second = rollouts(algorithm, 6), rollouts(algorithm, 7)
    state = update(first.reward_B, first, fresh).state
    save_file(state_tensors(state), tmp_path / "algorithm.safetensors")
    restored = restore_state(fresh, load_file(tmp_path / "algorithm.safetensors"))
    straight, resumed = (update(second.reward_B, second, s) for s in (state, restored))
    assert torch.equal(straight.advantage, resumed.advantage)
    assert straight.metrics == resumed.metrics
    one, two = state_tensors(straight.state), state_tensors(resumed.state)
    assert all(torch.equal(one[key], two[key]) for key in one)


@every
def test_responses_without_tokens_are_counted_and_break_nothing(name: str) -> None:
    algorithm = algorithms.make(name)
    b = rollouts(algorithm, 8)
    some = b._replace(mask_BT=b.mask_BT * (torch.arange(len(b.reward_B)) % 3 > 0)[:, None])
    none = changed(b, lambda x: x[:, :0], "_BT")
    assert advantage_of(algorithm, some).isfinite().all()
    assert advantage_of(algorithm, none).shape == (len(b.reward_B), 0)


@every
def test_more_rollouts_than_the_minimum_are_fine(name: str) -> None:
    algorithm = algorithms.make(name)
    grouped = rollouts(algorithms.make("grpo"), 9)
    assert advantage_of(algorithm, grouped).isfinite().all()


@every
def test_an_algorithm_goes_by_the_name_it_is_registered_under(name: str) -> None:
    assert algorithms.make(name).name == name


@every
def test_every_option_has_a_line_of_help(name: str) -> None:
    undocumented = [o.name for o in algorithms.options(name).values() if not o.doc]
    assert undocumented == []


DECLARED = {  # what differs from the common loss by an algorithm's definition
    "dr_grpo": {"kl_coef": 0.0, "aggregate": "seq-mean-token-sum-norm"},
    "dapo": {"clip_high": 0.28, "dual_clip": 10.0, "kl_coef": 0.0},
    "mvsr_entropy_loss": {"entropy_coef": 0.01},
}


@every
def test_every_arm_starts_from_the_same_loss_but_for_what_defines_it(name: str) -> None:
    assert algorithms.make(name).loss == Loss(**DECLARED.get(name, {}))
    given = {**DECLARED.get(name, {}), "kl_coef": 0.5, "clip_high": 0.28}
    assert algorithms.make(name, kl_coef=0.5, clip_high=0.28).loss == Loss(**given)
