"""Answers the requests of the pages: GET only, from this machine only, and nothing is written.

Every answer has a policy that forbids scripts, styles and pictures of others. The Host header must
name this machine, so that a page of another site cannot read this one under its own host name.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from jinja2 import Environment
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mssr_rl.errors import UserError
from mssr_rl.outward import plain
from mssr_rl.report import results
from mssr_rl.report.html import TEMPLATES, own, templates
from mssr_rl.view import figures
from mssr_rl.view.comparison_views import comparison_sheet
from mssr_rl.view.follow import RunCache
from mssr_rl.view.glance import Glances
from mssr_rl.view.library import Library
from mssr_rl.view.rollout_search import RolloutFilter, search
from mssr_rl.view.run_views import run_list, run_pair, run_sheet

OURS = Path(__file__).parent / "templates"
STYLES = (
    *figures.STYLES,
    TEMPLATES / "controls.css",
    OURS / "view.css",
)  # reports' first: one look
HOSTS = ("127.0.0.1", "localhost", "[::1]", "::1")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
TYPES = {"svg": "image/svg+xml", "png": "image/png", "csv": "text/csv; charset=utf-8"}


class Pages:
    """Makes the pages. One page is made at a time, because they share what was read."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.library = Library(roots)
        self.cache, self.glances = RunCache(), Glances()
        self.lock = threading.Lock()
        self.env = page_templates()
        self.style = "\n".join(own(path) for path in STYLES)
        self.script = own(OURS / "view.js")

    def index(self, request: Request) -> str:
        """The list of runs and comparisons."""
        asked = request.query_params
        shelf = self.library.shelf()
        return self._page(
            "index.html.j2",
            found=run_list(self.library, self.glances, asked),
            comparisons=list(shelf.comparisons.values()),
            left_out=shelf.left_out,
            folders=[str(root) for root in self.library.roots],
            asked=dict(asked),
        )

    def run(self, request: Request) -> str:
        """One run."""
        place = self.library.run(request.path_params["address"])
        sheet = run_sheet(place, self.cache, self.glances)
        return self._page("run.html.j2", sheet=sheet, caution=results.CAUTION)

    def rollouts(self, request: Request) -> str:
        """The recorded rollouts of a run that fit a filter."""
        place = self.library.run(request.path_params["address"])
        wanted = RolloutFilter.of(request.query_params)
        found = search(self.cache.get(place.folder), wanted, request.query_params)
        return self._page("rollouts.html.j2", place=place, wanted=wanted, found=found)

    def pair(self, request: Request) -> str:
        """Two runs side by side."""
        asked = request.query_params.getlist("run")
        if len(asked) != 2:
            raise UserError(f"choose two runs to see side by side; {len(asked)} are chosen")
        a, b = (self.library.run(address) for address in asked)
        return self._page("pair.html.j2", pair=run_pair(a, b, self.cache, self.glances))

    def comparison(self, request: Request) -> str:
        """One comparison."""
        place = self.library.comparison(request.path_params["address"])
        runs = self.library.shelf().runs_of(place)
        sheet = comparison_sheet(place, runs, self.cache, self.glances)
        return self._page("comparison_live.html.j2", sheet=sheet)

    def figure(self, request: Request) -> Response:
        """A chart as a file."""
        kind = request.path_params["kind"]
        if kind not in TYPES:
            raise UserError(f"a figure is svg, png or csv, not {kind[:20]!r}")
        with self.lock:
            chart = figures.chart_of(self.library, self.cache, request.query_params)
            content = figures.MAKERS[kind](chart)
        name = {"Content-Disposition": f'attachment; filename="{figures.file_name(chart)}.{kind}"'}
        return Response(content, media_type=TYPES[kind], headers=HEADERS | name)

    def _page(self, template: str, **parts: Any) -> str:
        return self.env.get_template(template).render(parts)


def page_templates() -> Environment:
    """Return the templates of the pages, with those of the offline reports."""
    env = templates(OURS, TEMPLATES)
    env.filters["address"] = quote
    return env


def application(roots: Sequence[Path]) -> Starlette:
    """Return the web application over these folders."""
    pages = Pages(roots)
    folders = json.dumps({"folders": [str(root.resolve()) for root in roots]})
    kinds = {
        "style.css": (pages.style, "text/css"),
        "script.js": (pages.script, "text/javascript"),
        "about.json": (folders, "application/json"),
    }

    def page(make: Callable[[Request], str]) -> Callable[[Request], Response]:
        def answer(request: Request) -> Response:
            with pages.lock:
                return _unless_known(request, make(request))

        return answer

    def own_file(request: Request) -> Response:
        return _unless_known(request, *kinds[request.url.path.removeprefix("/")])

    def refuse(request: Request, error: Exception) -> Response:
        missing = isinstance(error, HTTPException)
        message = f"there is no page {request.url.path[:200]!r}" if missing else str(error)
        text = pages.env.get_template("refused.html.j2").render(message=plain(message))
        return _answer(text, "text/html", status=404)

    routes = [
        Route("/", page(pages.index)),
        Route("/run/{address:path}", page(pages.run)),
        Route("/rollouts/{address:path}", page(pages.rollouts)),
        Route("/pair", page(pages.pair)),
        Route("/comparison/{address:path}", page(pages.comparison)),
        Route("/figure.{kind}", pages.figure),
        *(Route(f"/{name}", own_file) for name in kinds),
    ]
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=list(HOSTS), www_redirect=False)
    refused: Mapping[Any, Any] = dict.fromkeys((404, UserError, OSError), refuse)
    return Starlette(routes=routes, middleware=[guard], exception_handlers=refused)


def _unless_known(request: Request, text: str, kind: str = "text/html") -> Response:
    """Return the text, or 304 if the browser has it already."""
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16).hexdigest()
    if request.headers.get("if-none-match") == f'"{digest}"':
        return Response(status_code=304, headers=HEADERS | {"ETag": f'"{digest}"'})
    return _answer(text, kind, {"ETag": f'"{digest}"'})


def _answer(
    text: str, kind: str, headers: Mapping[str, str] = NO_HEADERS, status: int = 200
) -> Response:
    content = text.encode("utf-8", "replace")
    return Response(
        content, status, media_type=f"{kind}; charset=utf-8", headers={**HEADERS, **headers}
    )
