"""A model's and its optimiser's tensors as one safetensors file: nothing that can run code."""

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mssr_rl import untrusted

# What runs of before wrote when they were stopped before step 1: an optimiser without a state.
UNREADABLE = b"\x18" + bytes(7) + b'{},"__metadata__":{}}   '


def save_optimiser(optimiser: torch.optim.Optimizer, path: Path, note: dict[str, str]) -> None:
    """Write the optimiser's state, and a few words about it."""
    tensors = {
        f"{row}.{name}": value.detach().contiguous()
        for row, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }
    # safetensors 0.8 writes {} for no tensors with {} for no words, and cannot read that back.
    save_file(tensors, path, metadata=note or None)


def load_optimiser(optimiser: torch.optim.Optimizer, path: Path) -> dict[str, str]:
    """Put back what `save_optimiser` wrote; returns the words."""
    if path.stat().st_size == len(UNREADABLE) and untrusted.content(path) == UNREADABLE:
        return {}
    states: dict[int, dict[str, Tensor]] = {}
    with safe_open(path, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118  not a mapping
            row, name = key.split(".")
            states.setdefault(int(row), {})[name] = file.get_tensor(key)
        note = dict(file.metadata() or {})
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": states, "param_groups": groups})
    return note


def copy_weights(model: Any, tensors: dict[str, Tensor]) -> None:
    """Set every parameter to the tensor of its name."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(tensors[name])
