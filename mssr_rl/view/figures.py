"""A chart as a file: SVG, PNG or CSV. `report.curves` draws the SVG, matplotlib the PNG."""

import csv
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

from mssr_rl.errors import UserError
from mssr_rl.report import panels
from mssr_rl.report.curves import Chart, ChartLine, draw, smoothed
from mssr_rl.report.html import TEMPLATES
from mssr_rl.report.text import escaped
from mssr_rl.view.comparison_views import arm_charts
from mssr_rl.view.follow import RunCache
from mssr_rl.view.library import Library
from mssr_rl.view.run_views import files_of, names_of

MOST_RUNS = 8
TITLE = 26  # pixels above the chart
LIGHT = re.compile(r"^:root \{.*?\}", re.DOTALL | re.MULTILINE)
DARK = re.compile(r"^@media screen and \(prefers-color-scheme: dark\) \{.*?\n\}", LIGHT.flags)
DRAWING = re.compile(r"(svg |\.(wide|rule|s\d+|line|raw|band|dot)\b)")


def chart_of(library: Library, cache: RunCache, asked: Any) -> Chart:
    """Return the chart that an address's query names: metric, and run (up to 8) or comparison.

    Raises:
        UserError: there is no such run, comparison or metric.
    """
    metric = asked.get("metric", "")
    if address := asked.get("comparison"):
        place = library.comparison(address)
        charts = arm_charts(place, library.shelf().runs_of(place), cache)
        return _named(charts, metric)
    addresses = asked.getlist("run")
    if not 0 < len(addresses) <= MOST_RUNS:
        raise UserError(f"name 1 to {MOST_RUNS} runs in the address; it names {len(addresses)}")
    places = [library.run(address) for address in addresses]
    found = [_of_run(cache, place.folder, metric) for place in places]
    if len(found) == 1 and found[0] is not None:
        return found[0]
    if not any(found):
        raise UserError(f"these runs have no chart of {metric[:80]!r}")
    return panels.overlaid(found, names_of(places))


def _of_run(cache: RunCache, folder: Any, metric: str) -> Chart | None:
    files = files_of(cache.get(folder, samples=False))
    drawn = panels.charts(files.metrics, files.evaluations)
    charts = (*drawn.main, *drawn.health, *drawn.own)
    return next((chart for chart in charts if chart.key == metric), None)


def _named(charts: Any, metric: str) -> Chart:
    for chart in charts:
        if chart.key == metric:
            found: Chart = chart
            return found
    raise UserError(f"there is no chart of {metric[:80]!r}")


def file_name(chart: Chart) -> str:
    """Return a name for the file, of letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9]+", "-", chart.key).strip("-")[:60] or "figure"


def svg(chart: Chart) -> bytes:
    """Return the chart as an SVG file with its own style, in light and dark.

    Raises:
        UserError: the chart has no values yet.
    """
    body = str(draw(chart))
    if not body.startswith("<svg"):
        raise UserError(f"{chart.title} has no values yet")
    inner = body.partition(">")[2].removesuffix("</svg>")
    names = [
        f'<tspan class="s{i}" dx="10" fill="var(--c)">{escaped(line.name)}</tspan>'
        for i, line in enumerate(chart.lines, 1)
    ]
    title = f'<tspan fill="var(--ink)" font-weight="600">{escaped(chart.title)}</tspan>'
    head = f'<text x="8" y="16">{title}{"".join(names if len(names) > 1 else [])}</text>'
    size = f'width="{2 * chart.width}" height="{2 * (chart.height + TITLE)}"'
    text = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} class="{chart.size}" '
        f'viewBox="0 0 {chart.width} {chart.height + TITLE}"><style>{svg_style()}</style>'
        f'{head}<g transform="translate(0 {TITLE})">{inner}</g></svg>'
    )
    return text.encode("utf-8", "replace")


def svg_style() -> str:
    """Return the rules of the pages' style sheets that a chart needs."""
    style = "".join(path.read_text("utf-8") for path in STYLES)
    rules = [line for line in style.splitlines() if DRAWING.match(line)]
    return "\n".join(
        (
            *LIGHT.findall(style),
            *DARK.findall(style),
            *rules,
            "svg { background: var(--paper); } .at { display: none; }",
        )
    )


def png(chart: Chart) -> bytes:
    """Return the chart as a PNG picture for a paper or slides, on white."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(chart.width / 70, chart.height / 70), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for i, line in enumerate(chart.lines):
        _plot(axes, line, LINES[i % len(LINES)], 100 if chart.share else 1)
    axes.set_title(_label(chart.title), loc="left", fontsize=10, fontweight="bold")
    axes.set_xlabel(chart.currency)
    axes.set_ylabel("%" if chart.share else _label(chart.unit))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e3e0d8", lw=0.8)
    axes.set_xlim(left=0)
    if len(chart.lines) > 1:
        axes.legend(frameon=False, fontsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=200)
    return out.getvalue()


def _plot(axes: Any, line: ChartLine, colour: str, scale: float) -> None:
    """Draw one curve as the pages do: faint values, the average, dots and the band."""
    points = line.finite
    if line.smooth > 1:
        raw = [scale * p.y for p in points]
        axes.plot([p.x for p in points], raw, color=colour, alpha=0.3, lw=0.8)
    for i, run in enumerate(smoothed(line)):
        dots = {"marker": "o", "ms": 4} if line.dots or len(run) == 1 else {}
        label = None if i else _label(line.name)
        y = [scale * p.y for p in run]
        axes.plot([p.x for p in run], y, color=colour, lw=1.8, label=label, **dots)
    banded = [(p.x, scale * p.low, scale * p.high) for p in points if p.low is not None and p.high]
    if banded:
        axes.fill_between(*zip(*banded, strict=True), color=colour, alpha=0.13, lw=0)


def table(chart: Chart) -> bytes:
    """Return the values of the chart as CSV, one line a point."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["line", "step", chart.currency, chart.key or chart.title, "low", "high"])
    for line in chart.lines:
        name = line.name if line.name[:1] not in "=+-@\t\r" else f"'{line.name}"
        for p in line.finite:
            writer.writerow([name, f"{p.step:g}", f"{p.x:g}", repr(p.y), p.low, p.high])
    return out.getvalue().encode("utf-8", "replace")


def _label(text: str) -> str:
    # matplotlib would read a text between dollar signs as mathematics.
    return str(text).replace("$", r"\$")[:120].lstrip("_")


STYLES = (TEMPLATES / "report.css", TEMPLATES.parents[1] / "comparison/templates/comparison.css")
LINES = ("#1c5d99", "#c4571b", "#3b7d4f", "#8a4f9e", "#a8842c", "#3d8f94", "#b0486b", "#5b6470")
MAKERS: Mapping[str, Callable[[Chart], bytes]] = {"svg": svg, "png": png, "csv": table}
