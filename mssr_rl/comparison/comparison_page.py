"""report.html, report.md, table.tex and report.json of a comparison, made from its folder alone.

Finished or not: what is missing is named. The same folder gives the same bytes, wherever it lies,
which is what `verify_report` relies on.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from markupsafe import Markup

from mssr_rl import files
from mssr_rl.comparison import charts, columns, document, dots, looks, tables
from mssr_rl.comparison.accuracy import LeaderboardRow, PairRow
from mssr_rl.comparison.columns import ReportColumn
from mssr_rl.comparison.evidence import ComparedRun, Evidence, read_evidence
from mssr_rl.comparison.findings import findings
from mssr_rl.comparison.health import StabilityRow
from mssr_rl.comparison.race import settled
from mssr_rl.comparison.theatre import theatre
from mssr_rl.report.curves import Chart
from mssr_rl.report.html import TEMPLATES, own, policy, templates
from mssr_rl.report.text import percent, points, trusted
from mssr_rl.stats.verdict import Rule

OURS = Path(__file__).parent / "templates"
ROWS = (LeaderboardRow, PairRow, StabilityRow)  # whose tables are made from their columns


class Written(NamedTuple):
    """What was written, and the verdict in words."""

    page: Path
    sentences: tuple[str, ...]


def write(folder: Path) -> Written:
    """Write all four files, and that somebody looked."""
    evidence = settled(read_evidence(folder))
    looks.record_look(evidence)
    report = findings(evidence)
    for name, content in contents(evidence, document.plain(report)).items():
        files.write_bytes(folder / name, content)
    said = [line for on in report.envs for line in (on.verdict, on.in_front)]
    said += [report.looks.says, *report.looks.cautions]
    return Written(folder / "report.html", tuple(line for line in said if line))


def contents(evidence: Evidence, found: Mapping[str, Any]) -> dict[str, bytes]:
    """{file: what belongs into it}, of the document as JSON has it."""
    return {
        "report.json": document.text(found).encode("utf-8", "replace"),
        "report.md": tables.markdown(found).encode("utf-8", "replace"),
        "table.tex": tables.tabular(found).encode("utf-8", "replace"),
        "report.html": fill(look(), evidence, found).encode("utf-8", "replace"),
    }


class PageLayout(NamedTuple):
    """What a version's page is filled into."""

    template: str  # below the templates
    style: Markup
    script: Markup
    units: Mapping[str, str] = MappingProxyType({})  # of charts, by title, that it named otherwise


def look() -> PageLayout:
    """Of the pages that are written now."""
    style = own(TEMPLATES / "report.css") + own(OURS / "comparison.css")
    return PageLayout("comparison.html.j2", style, own(OURS / "comparison.js"))


def fill(look: PageLayout, evidence: Evidence, found: Mapping[str, Any]) -> str:
    """The page as text."""
    env = templates(OURS, TEMPLATES)
    env.globals.update(dots=dots.dots, dots_header=dots.header, scale_of=dots.scale_of)
    env.globals.update(columns={kind.__name__: columns.shown(kind) for kind in ROWS})
    env.filters.update(pair=_pair, p=_p, data=_data, heads=columns.heads, cells=_cells)
    return env.get_template(look.template).render(
        policy=policy(look.style, look.script),
        style=look.style,
        script=look.script,
        found=found,
        margin=Rule(margin=found["rule"]["margin"]).size,
        colour={name: i for i, name in enumerate(_lines(found), 1)},
        beside=_charts(look, charts.beside(_alone(evidence), found["arms"], evidence.imported)),
        drawn=[_drawn(look, evidence, on) for on in found["envs"]],
    )


def _data(found: Mapping[str, Any]) -> Markup:
    """The document inside the page: JSON in which nothing can end the element it stands in."""
    escaped: dict[str, str | int | None] = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
    return trusted(json.dumps(found, allow_nan=False).translate(str.maketrans(escaped)))


def _lines(found: Mapping[str, Any]) -> list[str]:
    """Everything that has a colour of its own on the page."""
    return [*found["arms"], *(other["name"] for other in found["imported"])]


def _alone(evidence: Evidence) -> Sequence[ComparedRun]:
    """The runs that others are drawn beside: those of the only environment, if it is the only."""
    return evidence.runs if len(evidence.compare["envs"]) == 1 else ()


def _charts(look: PageLayout, drawn: Sequence[Chart]) -> list[Chart]:
    """Charts with the units that the page's version writes over them."""
    return [replace(chart, unit=look.units.get(chart.title, chart.unit)) for chart in drawn]


def _drawn(look: PageLayout, evidence: Evidence, on: Mapping[str, Any]) -> dict[str, Any]:
    runs, arms = evidence.on(on["env"]), evidence.compare["arms"]
    return {
        "tabs": charts.tabs(runs, arms),
        "health": _charts(look, charts.health(runs, arms)),
        "theatre": theatre(runs, arms),
    }


def _pair(pairs: Sequence[Mapping[str, Any]], a: str, b: str) -> dict[str, Any] | None:
    """The cell of row `a` and column `b`, whichever way round the pair was tested."""
    turned = {"better": "worse", "worse": "better"}
    for pair in pairs:
        word, value = pair["verdict"], pair["difference"]["value"]
        if (pair["a"], pair["b"]) == (a, b):
            return {"verdict": word, "value": value}
        if (pair["a"], pair["b"]) == (b, a):
            back = None if value is None else 0.0 - value  # never a negative zero
            return {"verdict": turned.get(word, word), "value": back}
    return None


def _p(value: float | None) -> str:
    """A p-value."""
    return "–" if value is None else f"{value:.3g}"


def _cells(row: Mapping[str, Any], one: ReportColumn) -> list[str]:
    """The texts of a column's cells."""
    found = columns.value(row, one)
    return ["–"] * len(columns.heads([one])) if found is None else CELLS[one.kind](found)


def _interval(found: Mapping[str, Any], shown: Callable[[float], str]) -> str:
    return "–" if found["low"] is None else f"{shown(found['low'])} to {shown(found['high'])}"


def _bare(share: float) -> str:
    return f"{100 * share:.1f}"


CELLS: Mapping[columns.Kind, Callable[[Any], list[str]]] = {
    "name": lambda text: [text],
    "count": lambda count: [f"{count:,}"],
    "share": lambda share: [percent(share)],
    "estimate": lambda found: [percent(found["value"]), _interval(found, _bare)],
    "gap": lambda found: [points(found["value"]), _interval(found, points)],
    "range": lambda found: [_interval(found, _bare)],
    "seeds": lambda by_seed: [" ".join(map(percent, by_seed.values()))],
    "word": lambda word: [word],
    "p": lambda p: [_p(p)],
}
