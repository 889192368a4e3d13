"""Write and read the state of an optimiser as a safetensors file, which cannot run code."""

from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from mssr_rl import untrusted

# Older runs wrote this file when they were stopped before step 1: an optimiser without a state.
UNREADABLE = b"\x18" + bytes(7) + b'{},"__metadata__":{}}   '


def save_optimiser(optimiser: torch.optim.Optimizer, path: Path, note: dict[str, str]) -> None:
    """Write the optimiser's state to a file. `note` is a dict of texts that are stored with it."""
    tensors = {
        f"{row}.{name}": value.detach().contiguous()
        for row, state in optimiser.state_dict()["state"].items()
        for name, value in state.items()
    }
    # With no tensors and an empty note, safetensors 0.8 writes a file that it cannot read.
    save_file(tensors, path, metadata=note or None)


def load_optimiser(optimiser: torch.optim.Optimizer, path: Path) -> dict[str, str]:
    """Load the state that `save_optimiser` wrote into the optimiser, and return the note."""
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


def copy_weights(model: torch.nn.Module, tensors: dict[str, Tensor]) -> None:
    """Set every parameter of a model to the tensor of the same name."""
    with torch.no_grad():
        for name, value in model.named_parameters():
            value.copy_(tensors[name])
