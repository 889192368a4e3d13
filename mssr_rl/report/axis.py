"""Compute the axes of a chart: positions and labels of ticks, and pixels of values. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10


@dataclass(frozen=True)
class Axis:
    """One axis of a chart; the values `low` to `high` are on the pixels `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def pixel(self, value: float) -> float:
        """Return the pixel position of `value`."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


NOTHING = 1e-100  # smaller values count as 0, so that steps and ticks do not underflow


def tick_step(low: float, high: float, count: int) -> float:
    """Return the smallest step between ticks that gives at most `count` intervals.

    A step is 1, 2 or 5 times a power of ten.
    """
    raw = (high - low) / count
    power: float = 10.0 ** floor(log10(raw))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))


def ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """Return round values that enclose [low, high], with about `count` intervals."""
    step = tick_step(low, high, count)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    digits = max(0, 1 - floor(log10(step)))
    return tuple(round(i * step, digits) for i in range(first, last + 1))


def value_range(values: Sequence[float], share: bool) -> tuple[float, float]:
    """Return the (lowest, highest) value that the value axis must show.

    The range has a positive height, and includes zero if zero is near. With `share`, it is clipped
    to [0, 1].
    """
    low, high = (x if abs(x) > NOTHING else 0.0 for x in (min(values), max(values)))
    if low >= 0 and low < 0.5 * high:
        low = 0.0
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        pad = 0.5 * abs(high) or (0.01 if share else 1.0)
        low, high = (0.0, high + pad) if high >= 0 else (high - pad, high + pad)
    return (max(0.0, low), min(1.0, high)) if share else (low, high)


def value_axis(values: Sequence[float], share: bool, pixels: tuple[float, float]) -> Axis:
    """Return the vertical axis; it begins and ends at a tick."""
    low, high = value_range(values, share)
    marks = ticks(low, high, 5)
    if share:
        marks = tuple(m for m in marks if m <= 1.0)
    return Axis(min(low, marks[0]), max(high, marks[-1]), *pixels, marks)


def count_axis(high: float, pixels: tuple[float, float], count: int) -> Axis:
    """Return the horizontal axis, from 0 to exactly `high`; all ticks are within this range."""
    high = high or 1.0
    marks = tuple(m for m in ticks(0.0, high, count) if m <= high)
    return Axis(0.0, high, *pixels, marks)


def label(value: float, step: float, share: bool = False) -> str:
    """Return the text of a tick, with as many decimals as the step needs."""
    if share:
        value, step = 100 * value, 100 * step
    digits = max(0, -floor(log10(step) + 1e-9))
    if digits > 4 or step >= 1e6:
        return f"{value:.2g}".replace("e-0", "e-").replace("e+0", "e+").replace("e+", "e")
    text = f"{value:,.{digits}f}".replace("-", "−")
    return f"{text} %" if share else text


def compact(value: float) -> str:
    """Return a count as a short text: 2500 gives "2.5k"."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
