"""report.html, report.md, table.tex and report.json of a comparison, made from its folder alone.

Finished or not: what is missing is named. The same folder gives the same bytes, wherever it lies,
which is what `verify` relies on.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import files
from mssr_rl.comparison import charts, dots, tables
from mssr_rl.comparison.evidence import Evidence, Run, read
from mssr_rl.comparison.findings import findings
from mssr_rl.comparison.race import settled
from mssr_rl.comparison.theatre import theatre
from mssr_rl.report.html import TEMPLATES, own, policy, templates
from mssr_rl.stats.verdict import Rule

OURS = Path(__file__).parent / "templates"


class Written(NamedTuple):
    """What was written, and the verdict in words."""

    page: Path
    sentences: tuple[str, ...]


def write(folder: Path) -> Written:
    """Write all four files."""
    evidence = settled(read(folder))
    found = findings(evidence)
    for name, content in contents(evidence, found).items():
        files.write_bytes(folder / name, content)
    said = [line for env in found["envs"] for line in (env["verdict"], env["in_front"]) if line]
    return Written(folder / "report.html", tuple(said))


def contents(evidence: Evidence, found: Mapping[str, Any]) -> dict[str, bytes]:
    """{file: what belongs into it}."""
    document = json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return {
        "report.json": document.encode("utf-8", "replace"),
        "report.md": tables.markdown(found).encode("utf-8", "replace"),
        "table.tex": tables.latex(found).encode("utf-8", "replace"),
        "report.html": render(evidence, found).encode("utf-8", "replace"),
    }


def render(evidence: Evidence, found: Mapping[str, Any]) -> str:
    """The page as text."""
    style = own(TEMPLATES / "report.css") + own(OURS / "comparison.css")
    script = own(OURS / "comparison.js")
    env = templates(OURS, TEMPLATES)
    env.globals.update(dots=dots.dots, dots_header=dots.header, scale_of=dots.scale_of)
    env.filters.update(pair=_pair, p=_p)
    return env.get_template("comparison.html.j2").render(
        policy=policy(style, script),
        style=style,
        script=script,
        found=found,
        margin=Rule(margin=found["rule"]["margin"]).size,
        colour={name: i for i, name in enumerate(_lines(found), 1)},
        beside=charts.beside(_alone(evidence), found["arms"], evidence.imported),
        drawn=[_drawn(evidence, on) for on in found["envs"]],
    )


def _lines(found: Mapping[str, Any]) -> list[str]:
    """Everything that has a colour of its own on the page."""
    return [*found["arms"], *(other["name"] for other in found["imported"])]


def _alone(evidence: Evidence) -> Sequence[Run]:
    """The runs that others are drawn beside: those of the only environment, if it is the only."""
    return evidence.runs if len(evidence.compare["envs"]) == 1 else ()


def _drawn(evidence: Evidence, on: Mapping[str, Any]) -> dict[str, Any]:
    runs, arms = evidence.on(on["env"]), evidence.compare["arms"]
    return {
        "tabs": charts.tabs(runs, arms),
        "health": charts.health(runs, arms),
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
