"""Draw bars, and marks of start and end values, for tables; as inline SVG. Pure functions."""

from collections.abc import Sequence
from math import isfinite

from markupsafe import Markup

from mssr_rl.report.text import trusted

WIDTH = 240


def bar(share: float) -> Markup:
    """Return a bar whose length is `share` of the full width."""
    rect = f'<rect width="{WIDTH * min(1.0, max(0.0, share)):.1f}" height="8" rx="2"/>'
    return trusted(f'<svg class="bar" viewBox="0 0 {WIDTH} 8" aria-hidden="true">{rect}</svg>')


def sparkline(values: Sequence[float]) -> Markup:
    """Return a small line through the values, from the lowest to the highest; dot: the last."""
    known = [value for value in values if isfinite(value)]
    if len(known) < 2:
        return trusted("")
    low, span = min(known), (max(known) - min(known)) or 1.0
    last = len(known) - 1
    at = [(2 + 92 * i / last, 20 - 17 * (value - low) / span) for i, value in enumerate(known)]
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in at)
    end = f'<circle class="dot" cx="{at[-1][0]:.1f}" cy="{at[-1][1]:.1f}" r="2"/>'
    return trusted(
        f'<svg class="spark s1" viewBox="0 0 98 23" aria-hidden="true">'
        f'<path class="line" d="M{line}"/>{end}</svg>'
    )


def scale() -> Markup:
    """Return the scale from 0 to 100 % that is drawn above the marks."""
    texts = "".join(
        f'<text class="middle" x="{_x(q / 100):.1f}" y="9">{q}</text>' for q in (0, 25, 50, 75)
    )
    last = f'<text class="middle" x="{_x(1):.1f}" y="9">100 %</text>'
    return trusted(
        f'<svg class="pairs" viewBox="0 0 {WIDTH} 12" aria-hidden="true">{texts}{last}</svg>'
    )


def before_after(*pairs: tuple[float | None, float | None]) -> Markup:
    """Return a drawing with one line per (start, end) pair, on a scale from 0 to 100 %.

    The start is a hollow circle, the end a filled one.
    """
    height = 12 * len(pairs) + 2
    quarters = "".join(f"M{_x(q / 4):.1f} 0V{height}" for q in range(5))
    marks = "".join(_pair(i, *pair) for i, pair in enumerate(pairs, 1))
    return trusted(
        f'<svg class="pairs" viewBox="0 0 {WIDTH} {height}" aria-hidden="true">'
        f'<path class="rule" d="{quarters}"/>{marks}</svg>'
    )


def _x(share: float) -> float:
    return 8 + share * (WIDTH - 26)


def _pair(row: int, start: float | None, end: float | None) -> str:
    if end is None:
        return ""
    y = 12 * row - 5
    stop = f'<circle class="end" cx="{_x(end):.1f}" cy="{y}" r="3.6"/>'
    if start is None:
        return f'<g class="s{row}">{stop}</g>'
    way = f'<path d="M{_x(start):.1f} {y}H{_x(end):.1f}"/>'
    begin = f'<circle class="start" cx="{_x(start):.1f}" cy="{y}" r="3"/>'
    return f'<g class="s{row}">{way}{begin}{stop}</g>'
