"""Write report.html, report.md, table.tex and report.json of a comparison, from its folder alone.

The comparison may be unfinished; then the report names the missing runs. A copy of the folder in
another place gives the same bytes, and `verify_report` relies on this.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from markupsafe import Markup

from mssr_rl import files
from mssr_rl.comparison import charts, columns, document, dots, looks, tables
from mssr_rl.comparison.accuracy import LeaderboardRow, PairRow
from mssr_rl.comparison.columns import CellStyle
from mssr_rl.comparison.evidence import ComparedRun, Evidence, read_evidence
from mssr_rl.comparison.findings import findings
from mssr_rl.comparison.health import StabilityRow
from mssr_rl.comparison.race import settled
from mssr_rl.comparison.theatre import theatre
from mssr_rl.report import heat_map
from mssr_rl.report.curves import Chart
from mssr_rl.report.html import TEMPLATES, own, policy, templates
from mssr_rl.report.text import percent, points, trusted
from mssr_rl.stats.verdict import Rule

OURS = Path(__file__).parent / "templates"
ROWS = (LeaderboardRow, PairRow, StabilityRow)  # the tables that are made from `columns`


class Written(NamedTuple):
    """The path of the written page, and the report's verdicts and cautions as sentences."""

    page: Path
    sentences: tuple[str, ...]


def write(folder: Path) -> Written:
    """Write the four files of the report, and record the look in looks.jsonl."""
    evidence = settled(read_evidence(folder))
    looks.record_look(evidence)
    report = findings(evidence)
    for name, content in contents(evidence, document.plain(report)).items():
        files.write_bytes(folder / name, content)
    sentences = [line for on in report.envs for line in (on.verdict, on.in_front)]
    sentences += [report.looks.says, *report.looks.cautions]
    return Written(folder / "report.html", tuple(line for line in sentences if line))


def contents(evidence: Evidence, report: Mapping[str, Any]) -> dict[str, bytes]:
    """Return {file name: content} of the four files of the report.

    `report` is the document as plain JSON data.
    """
    return {
        "report.json": document.text(report).encode("utf-8", "replace"),
        "report.md": tables.markdown(report).encode("utf-8", "replace"),
        "table.tex": tables.tabular(report).encode("utf-8", "replace"),
        "report.html": fill(look(maps="maps" in report), evidence, report).encode(
            "utf-8", "replace"
        ),
    }


class PageLayout(NamedTuple):
    """The template, style and script of one version of the page."""

    template: str  # path below the templates folder
    style: Markup
    script: Markup
    units: Mapping[str, str] = MappingProxyType({})  # of charts, by title, that it named otherwise


def look(*, maps: bool = False) -> PageLayout:
    """Return the layout of the page's current version; `maps` adds the style of maps."""
    style = own(TEMPLATES / "report.css") + own(OURS / "comparison.css")
    if maps:
        style += own(OURS / "maps.css")
    return PageLayout("comparison.html.j2", style, own(OURS / "comparison.js"))


def fill(look: PageLayout, evidence: Evidence, report: Mapping[str, Any]) -> str:
    """Return the text of report.html; `report` is the document as plain JSON data."""
    env = templates(OURS, TEMPLATES)
    env.globals.update(dots=dots.dots, dots_header=dots.header, scale_of=dots.scale_of)
    env.globals.update(drawn_maps=heat_map.of_document)
    env.globals.update(columns={kind.__name__: columns.shown(kind) for kind in ROWS})
    style = CellStyle(percent, lambda share: f"{100 * share:.1f}", points)
    cells = partial(columns.cells, style=style)
    env.filters.update(pair=_pair, p=_p, data=_data, heads=columns.heads, cells=cells)
    return env.get_template(look.template).render(
        policy=policy(look.style, look.script),
        style=look.style,
        script=look.script,
        found=report,
        margin=Rule(margin=report["rule"]["margin"]).size,
        colour={name: i for i, name in enumerate(_lines(report), 1)},
        beside=_charts(look, charts.beside(_alone(evidence), report["arms"], evidence.imported)),
        drawn=[_drawn(look, evidence, on) for on in report["envs"]],
    )


def _data(report: Mapping[str, Any]) -> Markup:
    """Return the document as JSON for a script element of the page.

    The characters <, > and & are escaped, so no text can close the element.
    """
    escaped: dict[str, str | int | None] = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
    return trusted(json.dumps(report, allow_nan=False).translate(str.maketrans(escaped)))


def _lines(report: Mapping[str, Any]) -> list[str]:
    """Return the names of all arms and imported runs, in the order of their colours on the page."""
    return [*report["arms"], *(other["name"] for other in report["imported"])]


def _alone(evidence: Evidence) -> Sequence[ComparedRun]:
    """Return the runs to draw beside imported runs; empty if there are several environments."""
    return evidence.runs if len(evidence.compare["envs"]) == 1 else ()


def _charts(look: PageLayout, drawn: Sequence[Chart]) -> list[Chart]:
    """Return the charts, with the unit texts that this version of the page uses for them."""
    return [replace(chart, unit=look.units.get(chart.title, chart.unit)) for chart in drawn]


def _drawn(look: PageLayout, evidence: Evidence, on: Mapping[str, Any]) -> dict[str, Any]:
    runs, arms = evidence.on(on["env"]), evidence.compare["arms"]
    return {
        "tabs": charts.tabs(runs, arms),
        "health": _charts(look, charts.health(runs, arms)),
        "theatre": theatre(runs, arms),
    }


def _pair(pairs: Sequence[Mapping[str, Any]], a: str, b: str) -> dict[str, Any] | None:
    """Return the verdict and the difference of arm `a` against arm `b`; None if there was no test.

    The pair may have been tested in the opposite order.
    """
    turned = {"better": "worse", "worse": "better"}
    for pair in pairs:
        word, value = pair["verdict"], pair["difference"]["value"]
        if (pair["a"], pair["b"]) == (a, b):
            return {"verdict": word, "value": value}
        if (pair["a"], pair["b"]) == (b, a):
            back = None if value is None else 0.0 - value  # 0 - value never gives -0.0
            return {"verdict": turned.get(word, word), "value": back}
    return None


def _p(value: float | None) -> str:
    """Return a p-value as text."""
    return "–" if value is None else f"{value:.3g}"
