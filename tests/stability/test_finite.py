"""A number that is no number is named before the optimiser can use it."""

import pytest
import torch
from torch import Tensor

from mssr_rl.errors import Collapsed
from mssr_rl.stability.finite import NonFinite, blaming, check_finite, check_gradients

NAN = float("nan")


def test_finite_numbers_pass() -> None:
    check_finite({"the loss": 0.5, "the advantage": torch.zeros(2, 3), "the count": 7})


@pytest.mark.parametrize("bad", [NAN, float("inf"), float("-inf")])
def test_the_first_bad_tensor_is_named_with_how_much_of_it_is_bad(bad: float) -> None:
    values: dict[str, Tensor | float] = {
        "the reward": torch.ones(4),
        "the advantage": torch.tensor([1.0, bad, bad]),
        "the loss": bad,
    }
    with pytest.raises(Collapsed, match=r"the advantage is not finite \(2 of 3 values\)") as caught:
        check_finite(values)
    assert isinstance(caught.value, NonFinite)
    assert caught.value.tensor == "the advantage"


def parameter(gradient: list[float]) -> Tensor:
    made = torch.zeros(len(gradient), requires_grad=True)
    made.grad = torch.tensor(gradient)
    return made


def test_the_first_parameter_with_a_bad_gradient_is_named() -> None:
    named = [("a", parameter([1.0])), ("b", parameter([2.0, NAN])), ("c", parameter([NAN]))]
    with pytest.raises(NonFinite, match=r"the gradient of b is not finite \(1 of 2 values\)"):
        check_gradients(torch.tensor(NAN), named)


def test_a_norm_that_overflows_although_every_part_is_finite_is_named_itself() -> None:
    with pytest.raises(NonFinite, match="the norm of the gradient is not finite"):
        check_gradients(torch.tensor(float("inf")), [("a", parameter([3e38]))])


def test_a_finite_norm_asks_nothing_of_the_parameters() -> None:
    check_gradients(torch.tensor(1.0), iter([]))


def test_the_problems_of_the_update_that_broke_are_noted() -> None:
    with pytest.raises(NonFinite) as caught, blaming([4, 2]):
        check_finite({"the loss": NAN})
    assert caught.value.problem_rows == (4, 2)
