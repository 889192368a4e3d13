"""A number that is no number stops the run, and is named."""

import pytest
import torch
from torch import Tensor

from mssr_rl.errors import Collapsed
from mssr_rl.stability.finite import check_finite


def test_finite_numbers_pass() -> None:
    check_finite(3, {"loss": 0.5, "advantage": torch.zeros(2, 3), "count": 7})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_the_first_bad_tensor_is_named_with_its_step(bad: float) -> None:
    values: dict[str, Tensor | float] = {
        "reward": torch.ones(4),
        "advantage": torch.tensor([1.0, bad, bad]),
        "loss": bad,
    }
    with pytest.raises(Collapsed, match=r"step 12: advantage is not finite \(2 of 3 values\)"):
        check_finite(12, values)


def test_a_bad_number_is_named_too() -> None:
    with pytest.raises(Collapsed, match="gradient is not finite"):
        check_finite(1, {"gradient": float("nan")})
