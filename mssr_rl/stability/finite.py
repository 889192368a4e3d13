"""Numbers that are no numbers, found before the optimiser makes weights of them.

Engines check a loss and its gradient between `backward` and the optimiser's step, `run.step` what
the policy, the grader and the advantage chain gave it. Whatever is found first is named.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from mssr_rl.errors import NotFinite


class NonFinite(NotFinite):
    """A tensor holds NaN or infinity; the policy has not been updated with it."""

    def __init__(self, tensor: str, bad: int, size: int) -> None:
        super().__init__(f"{tensor} is not finite ({bad} of {size} values)")
        self.tensor = tensor
        self.problem_rows: tuple[int, ...] | None = None  # of an update: which of the P problems
        self.updates = 0  # of the step, made before it


def check_finite(values: Mapping[str, Tensor | float]) -> None:
    """Raise `NonFinite` at the first tensor or number that holds NaN or infinity."""
    for name, value in values.items():
        tensor = torch.as_tensor(value)
        if not bool(torch.isfinite(tensor).all()):
            raise NonFinite(name, int((~torch.isfinite(tensor)).sum()), tensor.numel())


def check_gradients(norm: Tensor, parameters: Iterable[tuple[str, Tensor]]) -> None:
    """Raise `NonFinite` if `norm` is not finite, naming the first parameter whose gradient is not.

    To be called before gradients are clipped: clipping by a norm that is NaN makes all of them NaN.
    """
    if bool(torch.isfinite(norm)):
        return
    for name, parameter in parameters:
        if parameter.grad is not None:
            check_finite({f"the gradient of {name}": parameter.grad})
    check_finite({"the norm of the gradient": norm})  # every part is finite, their sum is not


@contextmanager
def blaming(problem_rows: Sequence[int], updates: int = 0) -> Iterator[None]:
    """Note on a `NonFinite` of the block which of a step's P problems its update was made of.

    And how many updates of the step were made before it.
    """
    try:
        yield
    except NonFinite as error:
        error.problem_rows, error.updates = tuple(problem_rows), updates
        raise
