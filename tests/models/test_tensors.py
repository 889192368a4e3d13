"""An optimiser's state on disk, also that of one that has not taken a step."""

from pathlib import Path

import pytest
import torch

from mssr_rl.models.tensors import UNREADABLE, load_optimiser, save_optimiser


def optimiser(steps: int) -> torch.optim.AdamW:
    weight = torch.nn.Parameter(torch.arange(3.0))
    made = torch.optim.AdamW([weight], lr=0.1)
    for _ in range(steps):
        weight.grad = torch.ones(3)
        made.step()
    return made


@pytest.mark.parametrize("note", [{}, {"seconds": "3"}])
@pytest.mark.parametrize("steps", [0, 2])
def test_what_was_saved_is_read_back_before_and_after_the_first_step(
    tmp_path: Path, steps: int, note: dict[str, str]
) -> None:
    before, after = optimiser(steps), optimiser(0)
    save_optimiser(before, tmp_path / "optimiser.safetensors", note)
    assert load_optimiser(after, tmp_path / "optimiser.safetensors") == note
    kept, found = before.state_dict()["state"], after.state_dict()["state"]
    assert kept.keys() == found.keys()
    for row, state in kept.items():
        assert all(torch.equal(value, found[row][name]) for name, value in state.items())


def test_the_empty_state_of_older_versions_is_read_as_one(tmp_path: Path) -> None:
    path, found = tmp_path / "optimiser.safetensors", optimiser(0)
    path.write_bytes(UNREADABLE)
    assert load_optimiser(found, path) == {}
    assert found.state_dict()["state"] == {}
