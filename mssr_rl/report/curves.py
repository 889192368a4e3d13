"""Draw line charts as small inline SVG, without script. Pure functions.

A faint line shows every recorded value, a strong line the moving average. When the mouse pointer is
over the chart, it shows the nearest value. Colours are CSS classes (`s1`, `s2`, ...) of the page's
style sheet. So the chart works in light mode, in dark mode and in print.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import NamedTuple

from markupsafe import Markup

from mssr_rl.report.axis import Axis, compact, count_axis, label, value_axis
from mssr_rl.report.text import escaped, number, percent, trusted

MAX_POINTS = 480  # per line; of longer series, the lowest and highest value of each bin are drawn
MAX_TARGETS = 60  # areas that show their values when one points at them
TOP, BOTTOM, RIGHT = 20, 38, 8
CHAR = 6.2  # width of a digit
FEW_LINES = 3  # so many lines can be named above a chart


class Point(NamedTuple):
    """A value at `x` rollouts, with its interval if it has one."""

    x: float
    y: float
    step: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, kw_only=True)
class ChartLine:
    """One curve, averaged over `smooth` neighbours; with `dots`, every value is marked instead."""

    name: str
    points: tuple[Point, ...]
    smooth: int = 1
    dots: bool = False

    @property
    def finite(self) -> tuple[Point, ...]:
        """The points with a finite value; only these can be drawn."""
        return tuple(p for p in self.points if isfinite(p.y))


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves that share their axes; with `share`, values are written as percentages."""

    title: str
    unit: str
    lines: tuple[ChartLine, ...]
    share: bool = False
    currency: str = "rollouts"  # what the horizontal axis counts
    one_trainer: bool = True  # a step of one line is a step of the others
    width: int = 340
    height: int = 220
    key: str = ""  # the metric's name on disk, for links to the figure

    @property
    def in_steps(self) -> bool:
        """Whether all lines have points at the same x, one per training step."""
        return self.currency == "rollouts" and self.one_trainer

    @property
    def size(self) -> str:
        """The CSS class that sets the size of the chart."""
        return "wide" if self.width > 400 else "narrow"


class Frame(NamedTuple):
    """The horizontal and the vertical axis of a chart."""

    x: Axis
    y: Axis


def moving_average(values: Sequence[float], window: int) -> list[float]:
    """Return the centred mean over `window` values (an odd number).

    At both ends of the list, the window is cut.
    """
    half = window // 2
    mean: list[float] = []
    for i in range(len(values)):
        part = values[max(0, i - half) : i + half + 1]
        mean.append(sum(part) / len(part))
    return mean


def runs_of(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Yield the parts of a curve between missing values; no line is drawn across a gap."""
    run: list[Point] = []
    for p in points:
        if isfinite(p.y):
            run.append(p)
        elif run:
            yield run
            run = []
    if run:
        yield run


def thin(points: Sequence[Point], limit: int = MAX_POINTS) -> list[Point]:
    """Return at most `limit` points: the lowest and the highest of each bin.

    So high and low peaks stay visible.
    """
    if len(points) <= limit:
        return list(points)
    bins = limit // 2
    edges = [i * len(points) // bins for i in range(bins + 1)]
    kept: list[Point] = []
    for a, b in pairwise(edges):
        part = points[a:b]
        ends = {min(part, key=lambda p: p.y), max(part, key=lambda p: p.y)}
        kept += sorted(ends, key=lambda p: p.x)
    return kept


def smoothed(line: ChartLine) -> list[list[Point]]:
    """Return the moving average of each part of a curve without gaps."""
    stretches = []
    for run in runs_of(line.points):
        mean = moving_average([p.y for p in run], line.smooth)
        stretches.append([p._replace(y=y) for p, y in zip(run, mean, strict=True)])
    return stretches


def frame(chart: Chart) -> Frame:
    """Return the axes; they contain every finite value and interval of the chart."""
    shown = [p for line in chart.lines for p in line.finite]
    edges = [e for p in shown for e in (p.low, p.high) if e is not None and isfinite(e)]
    pixels = (chart.height - BOTTOM, TOP)
    y = value_axis([p.y for p in shown] + edges, chart.share, pixels)
    left = 8 + CHAR * max(6, *(len(text) for text in y_labels(y, chart.share)))
    x = count_axis(max(p.x for p in shown), (left, chart.width - RIGHT), chart.width // 85)
    return Frame(x, y)


def y_labels(axis: Axis, share: bool) -> list[str]:
    """Return the texts beside the vertical axis."""
    step = axis.ticks[1] - axis.ticks[0] if len(axis.ticks) > 1 else 1.0
    return [label(tick, step, share) for tick in axis.ticks]


def path(points: Sequence[Point], box: Frame) -> str:
    """Return SVG path data through the points."""
    at = (f"{box.x.pixel(p.x):.1f} {box.y.pixel(p.y):.1f}" for p in points)
    return "M" + "L".join(at)


def step_at(rollouts: float, points: Sequence[Point]) -> int | None:
    """Return the interpolated training step at a number of rollouts; None outside the range."""
    for a, b in pairwise(points):
        if a.x <= rollouts <= b.x and b.x > a.x:
            return round(a.step + (b.step - a.step) * (rollouts - a.x) / (b.x - a.x))
    return None


def grid(chart: Chart, box: Frame) -> Iterator[str]:
    """Yield the SVG of the horizontal lines, the tick labels and the name of the x axis."""
    for tick, text in zip(box.y.ticks, y_labels(box.y, chart.share), strict=True):
        y = box.y.pixel(tick)
        yield f'<path class="rule" d="M{box.x.start:.1f} {y:.1f}H{box.x.end:.1f}"/>'
        yield f'<text class="tick y" x="{box.x.start - 6:.1f}" y="{y + 4:.1f}">{text}</text>'
    points = max((line.finite for line in chart.lines), key=len)
    below = chart.height - BOTTOM
    for i, tick in enumerate(box.x.ticks):
        x, step = box.x.pixel(tick), step_at(tick, points)
        name = f"{compact(tick)}" + (f" {chart.currency}" if i == 0 else "")
        anchor = "start" if i == 0 else "end" if x > box.x.end - 12 else "middle"
        yield f'<text class="tick {anchor}" x="{x:.1f}" y="{below + 16}">{name}</text>'
        under = "step" if i == 0 else "" if step is None else str(step)
        if not chart.in_steps:
            under = ""
        yield f'<text class="tick step {anchor}" x="{x:.1f}" y="{below + 30}">{under}</text>'


def band(line: ChartLine, box: Frame) -> str:
    """Return the SVG of a curve's intervals as one shaded area."""
    known = [p for p in line.finite if p.low is not None and p.high is not None]
    if len(known) < 2:
        return ""
    upper = [p._replace(y=p.high) for p in known if p.high is not None]
    lower = [p._replace(y=p.low) for p in reversed(known) if p.low is not None]
    return f'<path class="band" d="{path(upper + lower, box)}Z"/>'


def draw_line(line: ChartLine, box: Frame) -> Iterator[str]:
    """Yield the SVG parts of one curve: band, faint values, strong average and dots."""
    yield band(line, box)
    strong = smoothed(line)
    if line.smooth > 1:
        raw = "".join(path(thin(run), box) for run in runs_of(line.points))
        yield f'<path class="raw" d="{raw}"/>'
    yield f'<path class="line" d="{"".join(path(thin(run), box) for run in strong)}"/>'
    if line.dots or len(line.finite) == 1:
        for p in line.finite:
            x, y = box.x.pixel(p.x), box.y.pixel(p.y)
            yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def value_text(p: Point, chart: Chart) -> str:
    """Return a value as text, with its interval if it has one."""
    text = percent(p.y) if chart.share else number(p.y)
    if chart.share and p.low is not None and p.high is not None:
        text += f" ({100 * p.low:.1f} to {100 * p.high:.1f})"
    return text


def targets(chart: Chart, box: Frame) -> Iterator[str]:
    """Yield the SVG of invisible columns, one around each value; together they cover the chart.

    Each column shows its values while the mouse pointer is over it.
    """
    columns = max((line.finite for line in chart.lines), key=len)
    stride = max(1, -(-len(columns) // MAX_TARGETS))
    columns = columns[::-1][::stride][::-1]  # the last value is always among them
    middles = [(box.x.pixel(a.x) + box.x.pixel(b.x)) / 2 for a, b in pairwise(columns)]
    borders = pairwise([box.x.start - 8, *middles, box.x.end + 8])
    for column, (left, right) in zip(columns, borders, strict=True):
        area = f'<rect x="{left:.1f}" y="0" width="{right - left:.1f}" height="{chart.height}"/>'
        yield f'<g class="at">{area}{pointed_at(chart, box, column)}</g>'


def pointed_at(chart: Chart, box: Frame, column: Point) -> str:
    """Return the SVG that is shown while the mouse pointer is over a column.

    It holds a vertical line, dots and the values.
    """
    here = [
        (i, line.name, p)
        for i, line in enumerate(chart.lines, 1)
        if (p := point_at(chart, line, column.x)) is not None
    ]
    x, several = box.x.pixel(column.x), len(chart.lines) > 1
    step, spent = f"step {column.step:g}", f"{column.x:,.0f} {chart.currency}"
    where = [step] if several and chart.in_steps else [step, spent] if chart.in_steps else [spent]
    values = [(f"{name} " if several else "") + value_text(p, chart) for _, name, p in here]
    title = f"{', '.join([step, spent] if chart.in_steps else [spent])}: {', '.join(values)}"
    dots = "".join(
        f'<circle class="s{i}" cx="{box.x.pixel(p.x):.1f}" cy="{box.y.pixel(p.y):.1f}" r="4"/>'
        for i, _, p in here
    )
    short = [short_text(chart, i, name, p) for i, name, p in here]
    return (
        f'<title>{escaped(title)}</title><path d="M{x:.1f} {TOP}V{box.y.start}"/>{dots}'
        f'<text x="{box.x.end}" y="12">{" · ".join([*map(escaped, where), *short])}</text>'
    )


def point_at(chart: Chart, line: ChartLine, x: float) -> Point | None:
    """Return the point of a line at `x`; None if there is none.

    If the lines of the chart have no common x, return the nearest point.
    """
    if not chart.in_steps:
        return min(line.finite, key=lambda p: abs(p.x - x), default=None)
    return next((p for p in line.finite if p.x == x), None)


def short_text(chart: Chart, i: int, name: str, p: Point) -> str:
    """Return the text of a value above the chart.

    It names the value's line. If there are many lines, it has the line's colour instead.
    """
    text = value_text(p, chart).partition(" (")[0]
    if len(chart.lines) > FEW_LINES:
        return f'<tspan class="s{i}">{escaped(text)}</tspan>'
    return escaped(f"{name} {text}" if len(chart.lines) > 1 else text)


def summary(chart: Chart) -> str:
    """Return a description of the chart in words, for screen readers."""
    parts = []
    for line in chart.lines:
        if line.finite:
            first, last = line.finite[0], line.finite[-1]
            ends = f"{value_text(first, chart)} at step {first.step:g}"
            parts.append(f"{line.name}: {ends}, {value_text(last, chart)} at step {last.step:g}")
    return f"{chart.title}, {chart.unit}. " + "; ".join(parts)


def draw(chart: Chart) -> Markup:
    """Return the chart as one `<svg>` element; if there is nothing to draw, return a sentence."""
    if not any(line.finite for line in chart.lines):
        return trusted('<p class="empty">no values yet</p>')
    box = frame(chart)
    body = list(grid(chart, box))
    for i, line in enumerate(chart.lines, 1):
        if line.finite:
            body += [f'<g class="s{i}">', *draw_line(line, box), "</g>"]
    body += targets(chart, box)
    view = f'viewBox="0 0 {chart.width} {chart.height}" role="img"'
    return trusted(f'<svg {view} aria-label="{escaped(summary(chart))}">{"".join(body)}</svg>')
