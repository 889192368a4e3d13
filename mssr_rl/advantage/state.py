"""Converts the state of an algorithm to a flat dict of tensors for checkpoints, and back.

A state is None, a tensor, a number, or a tuple or NamedTuple of states. The keys are paths into it:
"0.alpha_N" is the field alpha_N in the state of the first step.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from mssr_rl.errors import UserError

S = TypeVar("S")


def state_tensors(state: Any) -> dict[str, Tensor]:
    """Return {path: tensor} of all tensors in a state; numbers become tensors of shape []."""
    return {path: _as_tensor(leaf) for path, leaf in _leaves(state, "")}


def restore_state(init_state: S, tensors: Mapping[str, Tensor]) -> S:
    """Return the state from which `state_tensors` made `tensors`.

    `init_state` is a fresh state of the same algorithm; it gives the structure and the dtypes.

    Raises:
        UserError: the tensors come from another algorithm, other options or another data set.
    """
    expected = state_tensors(init_state)
    if expected.keys() != tensors.keys():
        raise UserError(
            f"the checkpoint's algorithm remembers {_listed(tensors)}, this one {_listed(expected)}"
            "; resume with the algorithm that wrote it"
        )
    for path, fresh in expected.items():
        if fresh.shape != tensors[path].shape:
            raise UserError(
                f"the checkpoint's {path} has shape {list(tensors[path].shape)}, this run needs "
                f"{list(fresh.shape)}; resume with the options and the data that wrote it"
            )
    restored: S = _filled(init_state, "", tensors)
    return restored


def _leaves(state: Any, path: str) -> Iterator[tuple[str, Any]]:
    if state is None:
        return
    if not isinstance(state, tuple):
        yield path, state
        return
    for name, part in zip(_names(state), state, strict=True):
        yield from _leaves(part, _join(path, name))


def _filled(state: Any, path: str, tensors: Mapping[str, Tensor]) -> Any:
    if state is None:
        return None
    if not isinstance(state, tuple):
        return _like(state, tensors[path])
    parts = [
        _filled(part, _join(path, name), tensors)
        for name, part in zip(_names(state), state, strict=True)
    ]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def _names(state: tuple[Any, ...]) -> tuple[str, ...]:
    names: tuple[str, ...] = getattr(state, "_fields", ())
    return names or tuple(str(i) for i in range(len(state)))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _as_tensor(leaf: Any) -> Tensor:
    if isinstance(leaf, Tensor):
        return leaf.clone()
    if isinstance(leaf, float):
        return torch.tensor(leaf, dtype=torch.float64)
    if isinstance(leaf, int):  # also a bool, which becomes a bool tensor
        return torch.tensor(leaf)
    raise TypeError(f"a state holds tensors and numbers, not {type(leaf).__name__}")


def _like(fresh: Any, saved: Tensor) -> Any:
    if isinstance(fresh, Tensor):
        return saved.to(dtype=fresh.dtype, device=fresh.device, copy=True)
    return type(fresh)(saved.item())


def _listed(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted(tensors)) or "nothing"
