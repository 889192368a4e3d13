"""Finds NaN and infinity before an optimiser update can write them into the weights.

Engines check the loss and its gradient between `backward` and the optimiser step. `run.step` checks
the results of the policy, the grader and the advantage chain. The error names the first bad tensor.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mssr_rl.errors import NotFinite


class NonFinite(NotFinite):
    """Raised when a tensor holds NaN or infinity. The policy was not updated with this tensor."""

    def __init__(self, tensor: str, bad: int, size: int) -> None:
        super().__init__(f"{tensor} is not finite ({bad} of {size} values)")
        self.tensor = tensor
        self.problem_rows: tuple[int, ...] | None = None  # the update's rows of the P problems
        self.updates = 0  # updates of the same step that succeeded before this one


def check_finite(values: Mapping[str, Tensor | float]) -> None:
    """Raise `NonFinite` at the first tensor or number that holds NaN or infinity."""
    for name, value in values.items():
        tensor = torch.as_tensor(value)
        if not bool(torch.isfinite(tensor).all()):
            raise NonFinite(name, int((~torch.isfinite(tensor)).sum()), tensor.numel())


def check_gradients(norm: Tensor, parameters: Iterable[tuple[str, Tensor]]) -> None:
    """Raise `NonFinite` if `norm` is not finite; name the first parameter with a bad gradient.

    Call it before gradients are clipped: clipping by a NaN norm makes every gradient NaN.
    """
    if bool(torch.isfinite(norm)):
        return
    for name, parameter in parameters:
        if parameter.grad is not None:
            check_finite({f"the gradient of {name}": parameter.grad})
    check_finite({"the norm of the gradient": norm})  # all parts are finite, but not their sum


@contextmanager
def blaming(problem_rows: Sequence[int], updates: int = 0) -> Iterator[None]:
    """Add the place of the failure to a `NonFinite` that the block raises.

    `problem_rows` are the rows of the update among the step's P problems. `updates` is the number
    of updates that the step made before.
    """
    try:
        yield
    except NonFinite as error:
        error.problem_rows, error.updates = tuple(problem_rows), updates
        raise
