"""The templates and the security policy of pages, for reports of runs and of comparisons.

Autoescape is on. The policy lets the browser use only the page's own style and script.
"""

import base64
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from mssr_rl.report import bars, curves, text

TEMPLATES = Path(__file__).parent / "templates"


def templates(*folders: Path) -> Environment:
    """Return the Jinja environment of the pages, which finds templates in these folders."""
    env = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        finalize=_finalized,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        draw=curves.draw,
        bar=bars.bar,
        sparkline=bars.sparkline,
        number=text.number,
        percent=text.percent,
        points=text.points,
        duration=text.duration,
        shown=shown,
    )
    env.globals.update(before_after=bars.before_after, scale=bars.scale)
    return env


def _finalized(thing: Any) -> Any:
    """Return a value for the page, with invisible characters of a text made visible.

    Autoescape does not do this.
    """
    return text.seen(thing) if type(thing) is str else thing


def shown(thing: Any) -> str:
    """Return any value of a config or of run.json as one short line without hidden characters."""
    cut = text.excerpt(text.number(thing), 400)
    return cut.text + ("…" if cut.cut else "")


def own(path: Path) -> Markup:
    """Return the content of a file of this package as HTML that is not escaped."""
    return text.trusted(path.read_text("utf-8").strip())


def policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows this style, this script and inline pictures.

    Everything else is forbidden.
    """
    return (
        "default-src 'none'; img-src data:; "
        f"style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
