"""axis: round ticks that enclose the values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.report.axis import compact, count_axis, label, ticks, value_axis

PIXELS = (100.0, 0.0)


def test_ticks_are_round_and_enclose_the_values() -> None:
    assert ticks(0.31, 0.57, 4) == (0.3, 0.4, 0.5, 0.6)


def test_an_axis_starts_at_zero_when_the_values_are_near_it() -> None:
    assert value_axis([0.1, 0.9], False, PIXELS).low == 0.0
    assert value_axis([36.0, 41.0], False, PIXELS).low > 30.0


def test_equal_values_still_get_an_axis_with_height() -> None:
    for values in ([0.0, 0.0], [5.0], [-2.0, -2.0]):
        axis = value_axis(values, False, PIXELS)
        assert axis.low <= min(values) <= max(values) <= axis.high
        assert axis.high > axis.low


def test_shares_never_leave_zero_to_one() -> None:
    axis = value_axis([0.97, 1.0], True, PIXELS)
    assert axis.high == 1.0
    assert max(axis.ticks) <= 1.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9))
def test_every_value_lies_on_the_axis(values: list[float]) -> None:
    axis = value_axis(values, False, PIXELS)
    for value in values:
        assert -0.01 <= axis.pixel(value) <= 100.01


@given(st.floats(1, 1e9))
def test_the_rollout_axis_ends_exactly_at_the_last_value(high: float) -> None:
    axis = count_axis(high, (40.0, 400.0), 4)
    assert axis.pixel(high) == pytest.approx(400.0)
    assert 1 <= len(axis.ticks) <= 6


@pytest.mark.parametrize(
    ("value", "step", "share", "text"),
    [
        (0.2, 0.1, False, "0.2"),
        (0.0015, 0.0005, False, "0.0015"),
        (-2.0, 1.0, False, "−2"),
        (0.25, 0.05, True, "25 %"),
        (0.005, 0.005, True, "0.5 %"),
        (2e-6, 1e-6, False, "2e-6"),
        (4e6, 2e6, False, "4e6"),
        (0.0, 1e-6, False, "0"),
        (10_000.0, 5_000.0, False, "10,000"),
    ],
)
def test_a_label_has_the_decimals_its_step_needs(
    value: float, step: float, share: bool, text: str
) -> None:
    assert label(value, step, share) == text


def test_counts_are_written_compactly() -> None:
    assert [compact(n) for n in (0, 500, 2500, 10_000, 3e6)] == ["0", "500", "2.5k", "10k", "3M"]
