"""States to tensors and back: nothing is lost, and another algorithm's state is refused."""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mssr_rl.advantage import restore_state, state_tensors
from mssr_rl.errors import UserError


class Memory(NamedTuple):
    seen_N: Tensor
    rate: float
    visits: int
    warm: bool


FRESH = (Memory(torch.zeros(2, dtype=torch.float64), 0.0, 0, False), None, (torch.zeros(1),))
USED = (Memory(torch.tensor([0.1, 0.2]).double(), 0.1 + 0.2, 7, True), None, (torch.ones(1),))


def test_a_state_survives_a_file_bit_for_bit(tmp_path: Path) -> None:
    save_file(state_tensors(USED), tmp_path / "state.safetensors")
    memory, nothing, (last,) = restore_state(FRESH, load_file(tmp_path / "state.safetensors"))
    assert isinstance(memory, Memory)
    assert torch.equal(memory.seen_N, USED[0].seen_N)
    assert memory[1:] == (0.1 + 0.2, 7, True)
    assert memory.warm is True
    assert nothing is None
    assert torch.equal(last, torch.ones(1))


def test_keys_are_paths_into_the_state() -> None:
    assert list(state_tensors(USED)) == ["0.seen_N", "0.rate", "0.visits", "0.warm", "2.0"]


def test_an_algorithm_without_memory_stores_nothing() -> None:
    assert state_tensors((None, (None, None))) == {}
    assert restore_state((None, (None, None)), {}) == (None, (None, None))


def test_the_tensors_are_copies_in_both_directions() -> None:
    stored = state_tensors(USED)
    restored = restore_state(FRESH, stored)
    stored["0.seen_N"].zero_()
    assert USED[0].seen_N.tolist() == restored[0].seen_N.tolist() != [0, 0]


def test_the_state_of_another_algorithm_is_refused() -> None:
    with pytest.raises(UserError, match=r"remembers nothing, this one 0.rate.*that wrote it"):
        restore_state(FRESH, {})


def test_the_state_of_another_data_set_is_refused() -> None:
    wrong = state_tensors(USED) | {"0.seen_N": torch.zeros(3)}
    with pytest.raises(UserError, match=r"0.seen_N has shape \[3\], this run needs \[2\]; resume"):
        restore_state(FRESH, wrong)


def test_a_state_that_cannot_be_stored_is_our_bug() -> None:
    with pytest.raises(TypeError, match="tensors and numbers, not str"):
        state_tensors(("text",))
