"""Draw maps of two swept keys as inline SVG: accuracy as shade, collapsed runs as numbers. Pure.

Colours come from the page's style sheet; a figure that stands alone brings `STYLE` with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from mssr_rl.report.text import escaped, percent, trusted

WIDE, HIGH = 78, 46  # of a cell [pixels]
LEFT, BELOW, TOP, RIGHT = 84, 44, 4, 6
PALE, DARK = 0.06, 0.5  # opacities; text stays readable on the darkest cell
STYLE = (
    "svg{font:12px system-ui,sans-serif;background:#fff}text{fill:#1d1f23;text-anchor:middle}"
    ".end{text-anchor:end}.start{text-anchor:start}.soft{fill:#62666e}"
    ".lost{fill:#a3312b;font-weight:600}.cell{fill:#1c5d99;stroke:#e3e0d8}"
    ".none{fill:none;stroke:#e3e0d8;stroke-dasharray:3 3}"
    ".frame{fill:none;stroke:#a3312b;stroke-width:2}"
)


class DrawnMap(NamedTuple):
    """One map: its heading, the values of the other keys, and its drawing."""

    title: str
    under: str
    svg: Markup


def of_document(section: Mapping[str, Any], *, alone: bool = False) -> list[DrawnMap]:
    """Return the drawings of all maps of a report's section `maps`, on one scale of shades.

    `alone` gives files that need no page around them.
    """
    cells = {(cell["env"], cell["arm"]): cell for cell in section["cells"]}
    known = [c["accuracy"] for c in section["cells"] if c["accuracy"] is not None]
    scale = (min(known, default=0.0), max(known, default=1.0))
    several = len({one["env"] for one in section["maps"]}) > 1
    return [
        DrawnMap(
            f"{one['group']} on {one['env']}" if several else one["group"],
            ", ".join(f"{key}={value}" for key, value in one["others"].items()),
            draw_map(one, cells, scale, alone=alone),
        )
        for one in section["maps"]
    ]


def draw_map(
    one: Mapping[str, Any],
    cells: Mapping[tuple[str, str], Mapping[str, Any]],
    scale: tuple[float, float],
    *,
    alone: bool = False,
) -> Markup:
    """Return one map. `cells` is {(environment, arm): cell}, `scale` the range of the shades."""
    columns, rows = one["columns"], one["rows"]
    width = LEFT + WIDE * len(columns) + RIGHT
    height = TOP + HIGH * len(rows) + BELOW
    body = list(_axes(one, height))
    told = []
    for i, (row, arms) in enumerate(zip(rows, one["arms"], strict=True)):
        for j, (column, arm) in enumerate(zip(columns, arms, strict=True)):
            cell = cells.get((one["env"], arm)) if arm is not None else None
            body += _cell(cell, (LEFT + WIDE * j, TOP + HIGH * i), scale)
            told.append(f"{one['across']} {column}, {one['down']} {row}: {in_words(cell)}")
    says = f"{one['group']}. " + "; ".join(told)
    style = f"<style>{STYLE}</style>" if alone else ""
    name = ' xmlns="http://www.w3.org/2000/svg"' if alone else ' class="heatmap"'
    return trusted(
        f'<svg{name} width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escaped(says)}">{style}{"".join(body)}</svg>'
    )


def in_words(cell: Mapping[str, Any] | None) -> str:
    """Return the content of a cell as text."""
    if cell is None or cell["accuracy"] is None:
        return "no finished run"
    lost = f"{cell['collapsed'].get('any', 0)} of {cell['runs']} collapsed"
    kinds = [f"{name} {n}" for name, n in cell["collapsed"].items() if n and name != "any"]
    return f"{percent(cell['accuracy'])}, {lost}" + (f" ({', '.join(kinds)})" if kinds else "")


def _axes(one: Mapping[str, Any], height: int) -> Iterator[str]:
    columns: Sequence[str] = one["columns"]
    for i, row in enumerate(one["rows"]):
        y = TOP + HIGH * (i + 0.5) + 4
        yield f'<text class="end" x="{LEFT - 8}" y="{y:.0f}">{escaped(row)}</text>'
    for j, column in enumerate(columns):
        x = LEFT + WIDE * (j + 0.5)
        yield f'<text x="{x:.0f}" y="{height - BELOW + 17}">{escaped(column)}</text>'
    under = f"{_short(one['across'])} across, {_short(one['down'])} upwards"
    middle = (LEFT + WIDE * len(columns) + RIGHT) / 2
    yield f'<text class="soft" x="{middle:.0f}" y="{height - 8}">{escaped(under)}</text>'


def _short(key: str) -> str:
    return key.rpartition(".")[2]


def _cell(
    cell: Mapping[str, Any] | None, at: tuple[int, int], scale: tuple[float, float]
) -> Iterator[str]:
    """Yield one cell, with its content as the text that a pointer shows."""
    x, y = at
    size = f'x="{x + 1}" y="{y + 1}" width="{WIDE - 2}" height="{HIGH - 2}"'
    yield f"<g><title>{escaped(in_words(cell))}</title>"
    middle = x + WIDE // 2
    if cell is None or cell["accuracy"] is None:
        yield f'<rect class="none" {size}/>'
        yield f'<text class="soft" x="{middle}" y="{y + 27}">–</text></g>'
        return
    low, high = scale
    share = (cell["accuracy"] - low) / (high - low) if high > low else 0.5
    lost = cell["collapsed"].get("any", 0)
    yield f'<rect class="cell" {size} fill-opacity="{PALE + (DARK - PALE) * share:.2f}"/>'
    if lost:
        yield f'<rect class="frame" {size}/>'
    yield f'<text x="{middle}" y="{y + 20}">{percent(cell["accuracy"])}</text>'
    kind = "lost" if lost else "soft"
    yield f'<text class="{kind}" x="{middle}" y="{y + 36}">{lost} of {cell["runs"]}</text></g>'
