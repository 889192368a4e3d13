"""Exponents, fitted to costs that are powers of sizes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.growth import exponent
from mssr_rl.errors import UserError

SIZES = [64, 128, 256, 1024]


@given(power=st.floats(-3, 3), scale=st.floats(1e-6, 1e6))
def test_the_exponent_of_a_power_is_found_whatever_its_scale(power: float, scale: float) -> None:
    assert exponent(SIZES, [scale * size**power for size in SIZES]) == pytest.approx(
        power, abs=1e-6
    )


def test_a_constant_does_not_grow_and_one_odd_point_moves_the_fit_by_hand_worked_least_squares():
    assert exponent(SIZES, [3.0] * 4) == pytest.approx(0)
    # x = 0, 1, 2 and y = 0, 0, 3 doublings: slope (sum of (x - 1) y) / 2 = 3 / 2
    assert exponent([1, 2, 4], [1, 1, 8]) == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("sizes", "costs", "says"),
    [
        ([1], [1], "two different sizes"),
        ([2, 2], [1, 3], "two different sizes"),
        ([1, 2], [1], "as many costs as sizes"),
        ([1, 2], [0, 1], "above 0"),
    ],
)
def test_what_has_no_exponent_is_refused(sizes: list[int], costs: list[int], says: str) -> None:
    with pytest.raises(UserError, match=says):
        exponent(sizes, costs)
