"""report.html of one run: a single file that opens offline and was made only from the run's folder.

Reads through `runfiles`, draws through its neighbours, writes once. Everything a model or a data
file said is escaped by the template; the page's policy allows its own script and style and nothing
else.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mssr_rl import files
from mssr_rl.report import bars, curves, panels, results, setup, text
from mssr_rl.report.gallery import gallery
from mssr_rl.report.runfiles import RunFiles, read_run

TEMPLATES = Path(__file__).parent / "templates"
CONFIG_LIMIT = 60_000  # characters of config.yaml


def write(run_dir: Path) -> Path:
    """Write `run_dir`/report.html, finished run or not, and return its path."""
    target = run_dir / "report.html"
    page = render(read_run(run_dir))
    files.write_bytes(target, page.encode("utf-8", "replace"))
    return target


def render(run: RunFiles) -> str:
    """The page as text: the same files give the same page."""
    style, script = _own("report.css"), _own("report.js")
    found = results.scores(run.evaluations)
    return (
        _templates()
        .get_template("report.html.j2")
        .render(
            policy=_policy(style, script),
            style=style,
            script=script,
            run=run,
            setup=setup.describe(run),
            scores=found,
            sentence=results.sentence(found),
            caution=results.CAUTION,
            breakdowns=results.breakdowns(run.evaluations),
            panels=panels.charts(run.metrics, run.evaluations),
            gallery=gallery(run.samples, run.folder),
            config=text.excerpt(run.config_text, CONFIG_LIMIT),
        )
    )


def _templates() -> Environment:
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        draw=curves.draw,
        bar=bars.bar,
        number=text.number,
        percent=text.percent,
        points=text.points,
        duration=text.duration,
        shown=_shown,
    )
    env.globals.update(before_after=bars.before_after, scale=bars.scale)
    return env


def _shown(thing: Any) -> str:
    """Any value of a config or of run.json as one short, visible line."""
    cut = text.excerpt(text.number(thing), 400)
    return cut.text + ("…" if cut.cut else "")


def _own(name: str) -> Markup:
    return text.trusted((TEMPLATES / name).read_text("utf-8").strip())


def _policy(style: str, script: str) -> str:
    """The page's Content-Security-Policy: nothing but its own style, script and pictures."""
    return (
        "default-src 'none'; img-src data:; "
        f"style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
