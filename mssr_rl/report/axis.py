"""Axes: where ticks go, how they are labelled, and the map from values to pixels. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10


@dataclass(frozen=True)
class Axis:
    """One direction of a chart: values `low` to `high` lie on pixels `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def pixel(self, value: float) -> float:
        """Where `value` is drawn."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


NOTHING = 1e-100  # what a hundredth of would no longer be a number counts as 0


def tick_step(low: float, high: float, count: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that gives at most `count` intervals."""
    raw = (high - low) / count
    power: float = 10.0 ** floor(log10(raw))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= raw * (1 - 1e-9))


def ticks(low: float, high: float, count: int) -> tuple[float, ...]:
    """Round values that enclose [low, high], about `count` intervals apart."""
    step = tick_step(low, high, count)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    digits = max(0, 1 - floor(log10(step)))
    return tuple(round(i * step, digits) for i in range(first, last + 1))


def value_range(values: Sequence[float], share: bool) -> tuple[float, float]:
    """What the value axis must cover: never a zero height, and zero itself when it is near.

    Shares (`share`) stay inside [0, 1].
    """
    low, high = (x if abs(x) > NOTHING else 0.0 for x in (min(values), max(values)))
    if low >= 0 and low < 0.5 * high:
        low = 0.0
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        pad = 0.5 * abs(high) or (0.01 if share else 1.0)
        low, high = (0.0, high + pad) if high >= 0 else (high - pad, high + pad)
    return (max(0.0, low), min(1.0, high)) if share else (low, high)


def value_axis(values: Sequence[float], share: bool, pixels: tuple[float, float]) -> Axis:
    """The vertical axis, ending on its outer ticks."""
    low, high = value_range(values, share)
    marks = ticks(low, high, 5)
    if share:
        marks = tuple(m for m in marks if m <= 1.0)
    return Axis(min(low, marks[0]), max(high, marks[-1]), *pixels, marks)


def count_axis(high: float, pixels: tuple[float, float], count: int) -> Axis:
    """The horizontal axis: from 0 to exactly `high`, ticks inside."""
    high = high or 1.0
    marks = tuple(m for m in ticks(0.0, high, count) if m <= high)
    return Axis(0.0, high, *pixels, marks)


def label(value: float, step: float, share: bool = False) -> str:
    """A tick's text with just the decimals its step needs."""
    if share:
        value, step = 100 * value, 100 * step
    digits = max(0, -floor(log10(step) + 1e-9))
    if digits > 4 or step >= 1e6:
        return f"{value:.2g}".replace("e-0", "e-").replace("e+0", "e+").replace("e+", "e")
    text = f"{value:,.{digits}f}".replace("-", "−")
    return f"{text} %" if share else text


def compact(value: float) -> str:
    """A count on an axis: 2500 -> "2.5k"."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
