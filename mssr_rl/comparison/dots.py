"""Draw the accuracy of every seed as a dot, with the mean and its interval, as inline SVG. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from mssr_rl.report.axis import ticks
from mssr_rl.report.text import escaped, percent, trusted

WIDTH, HEIGHT, PAD = 320, 22, 14


class Scale(NamedTuple):
    """The range of accuracies on the axis; all rows of a table use the same."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def x(self, value: float) -> float:
        """Return the x position of a value in SVG units, clipped to the ends of the scale."""
        share = (value - self.low) / (self.high - self.low)
        return PAD + min(1.0, max(0.0, share)) * (WIDTH - 2 * PAD)


def scale_of(rows: Sequence[Mapping[str, Any]]) -> Scale:
    """Return a scale within 0 to 1 that holds every dot and interval of a leaderboard."""
    values = [value for row in rows for value in _values(row)]
    low, high = max(0.0, min(values) - 0.005), min(1.0, max(values) + 0.005)
    marks = ticks(low, high, 4)
    return Scale(max(0.0, marks[0]), min(1.0, marks[-1]), marks)


def header(scale: Scale) -> Markup:
    """Return the axis labels above the dots."""
    texts = "".join(
        f'<text class="middle" x="{scale.x(mark):.1f}" y="9">{100 * mark:.4g}</text>'
        for mark in scale.ticks
        if scale.low <= mark <= scale.high
    )
    return trusted(f'<svg class="dots" viewBox="0 0 {WIDTH} 12" aria-hidden="true">{texts}</svg>')


def dots(row: Mapping[str, Any], scale: Scale, colour: int) -> Markup:
    """Return the drawing of one arm: the interval as a bar, the mean, and the seeds as dots."""
    accuracy, middle = row["accuracy"], HEIGHT / 2
    rules = "".join(f"M{scale.x(mark):.1f} 0V{HEIGHT}" for mark in scale.ticks)
    bar = ""
    if accuracy["low"] is not None:
        low, high = (scale.x(accuracy[end]) for end in ("low", "high"))
        bar = f'<path class="span" d="M{low:.1f} {middle}H{high:.1f}"/>'
    mean = f'<path class="mean" d="M{scale.x(accuracy["value"]):.1f} 3V{HEIGHT - 3}"/>'
    seeds = "".join(
        f'<circle cx="{scale.x(value):.1f}" cy="{middle}" r="3.2">'
        f"<title>seed {escaped(seed)}: {percent(value)}</title></circle>"
        for seed, value in row["by_seed"].items()
    )
    return trusted(
        f'<svg class="dots" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{len(row["by_seed"])} seeds"><path class="rule" d="{rules}"/>'
        f'<g class="s{colour}">{bar}{mean}{seeds}</g></svg>'
    )


def _values(row: Mapping[str, Any]) -> list[float]:
    ends = [row["accuracy"][end] for end in ("value", "low", "high")]
    return [value for value in (*ends, *row["by_seed"].values()) if value is not None]
