"""Make the source of the documentation site, and check the links of the built site.

    python scripts/docs_site.py source    write build/site: config, documents, generated pages
    python scripts/docs_site.py check     find dead links and outside requests in build/site/html

`scripts/docs.sh` runs both, and MkDocs between them. The documents stay where they are and read
well without the site: this script only changes where their links lead. Reference pages are made
from the program, so that they cannot differ from it.
"""

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from html.parser import HTMLParser
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import yaml

from mssr_rl.config import Selection, keys, registered_names
from mssr_rl.config.compose import load
from mssr_rl.config.words import declared
from mssr_rl.typed import describe, show
from mssr_rl.verbs import VERBS, Form

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "site"
SOURCE, HTML = BUILD / "source", BUILD / "html"
# Documents outside docs/, and their places on the site.
MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "EXPERIMENTS.md": "experiments.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "examples/README.md": "examples.md",
}
LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
FENCED = re.compile(r"```.*?^```", re.DOTALL | re.MULTILINE)
# Packages whose public names are for others to use; each gets a page made from its docstrings.
API: Mapping[str, tuple[str, ...]] = {
    "advantage": (
        *("mssr_rl.advantage.transform", "mssr_rl.advantage.steps", "mssr_rl.advantage.rewards"),
        *("mssr_rl.advantage.tracker", "mssr_rl.advantage.drift", "mssr_rl.advantage.averages"),
        "mssr_rl.advantage.shaping",
    ),
    "algorithms": ("mssr_rl.algos.algorithm", "mssr_rl.loss", "mssr_rl.objective"),
    "environments": ("mssr_rl.problem", "mssr_rl.envs.environment", "mssr_rl.envs.bench"),
    "grading": ("mssr_rl.grading.verify", "mssr_rl.grading.reward"),
    "statistics": (
        *("mssr_rl.stats.verdict", "mssr_rl.stats.paired", "mssr_rl.stats.power"),
        *("mssr_rl.stats.sequential", "mssr_rl.stats.racing"),
    ),
    "runs": (
        "mssr_rl.api",
        "mssr_rl.engine_protocol",
        "mssr_rl.metrics",
        "mssr_rl.registry",
        "mssr_rl.errors",
    ),
}


# ---- the source ----------------------------------------------------------------------------------


def source() -> None:
    """Write all pages of the site as Markdown."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", SOURCE)
    for path in sorted((ROOT / "docs").rglob("*.md")):
        place = path.relative_to(ROOT / "docs")
        _write(place, relinked(path.read_text(encoding="utf-8"), f"docs/{place}", str(place)))
    for document, place in MOVED.items():
        text = (ROOT / document).read_text(encoding="utf-8")
        _write(Path(place), relinked(text, document, place))
    for name, page in generated().items():
        _write(Path(name), page)
    (BUILD / "mkdocs.yml").write_text(
        completed((ROOT / "mkdocs.yml").read_text("utf-8")), encoding="utf-8"
    )


def completed(config: str) -> str:
    """Return the site's config, with a last section of the documents that it does not list."""
    settings = yaml.safe_load(config)
    listed = set(re.findall(r"[\w/]+\.md", str(settings["nav"])))
    pages = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.md"))
    if others := [page for page in pages if page not in listed]:
        settings["nav"].append({"More": others})
    return yaml.safe_dump(settings, sort_keys=False)


def relinked(text: str, document: str, place: str) -> str:
    """Return a document whose links fit its place on the site; code is not changed."""

    def moved(link: re.Match[str]) -> str:
        target = (ROOT / document).parent.joinpath(link[1]).resolve().relative_to(ROOT)
        on_site = MOVED.get(str(target), str(target).removeprefix("docs/"))
        return f"]({'../' * place.count('/')}{on_site}{link[2] or ''})"

    end, parts = 0, []
    for code in FENCED.finditer(text):
        parts += [LINK.sub(moved, text[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(moved, text[end:])])


def generated() -> dict[str, str]:
    """Return the pages that are made from the program: {place: Markdown}."""
    return {
        "reference/verbs.md": "\n".join(_verbs()),
        "reference/keys.md": "\n".join(_keys()),
        "reference/algorithms.md": "\n".join(_registered("algo", "Algorithms")),
        "reference/environments.md": "\n".join(_registered("env", "Environments")),
        **{f"api/{name}.md": "\n".join(_api(name)) for name in API},
    }


def _write(place: Path, page: str) -> None:
    path = SOURCE / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def _verbs() -> Iterator[str]:
    yield "# Verbs\n"
    yield "Made from the program: `python -m mssr_rl VERB --help` prints the same arguments.\n"
    for name, verb in VERBS.items():
        yield f"## {name}\n\n{_sentence(verb.says)}\n"
        for form in verb.forms:
            yield from _form(name, form)


def _form(verb: str, form: Form) -> Iterator[str]:
    words = declared(form.declaration())
    needed = " ".join(word.label for word in words if word.needed)
    yield f"**`{' '.join(['mssr_rl', verb, needed]).rstrip()}`**: {form.says}\n"
    rows = [(word.name, _default(word), word.doc) for word in words]
    if rows:
        yield from _table(("argument", "default", ""), rows)
    yield "\n".join(f"    python -m mssr_rl {example}" for example in form.examples) + "\n"


def _default(word: Any) -> str:
    if word.needed:
        return "required"
    return "" if word.role else f"`{show(word.default)}`"


def _keys() -> Iterator[str]:
    config = load([])
    yield "# Config keys\n"
    yield (
        "Every key of a run, made from the program. Values are those of `recipe=laptop`. "
        "`python -m mssr_rl --help KEY` explains one key. An algorithm's own options stand in "
        "[algorithms](algorithms.md), an environment's in [environments](environments.md).\n"
    )
    every = groupby(_config_keys(config), lambda key: key[0].rpartition(".")[0])
    for section, members in every:
        yield f"## {section or 'The run as a whole'}\n"
        rows = [(f"`{name}`", f"`{value}`", takes, doc) for name, value, takes, doc in members]
        yield from _table(("key", "value", "takes", ""), rows)


def _config_keys(section: Any, path: str = "") -> Iterator[tuple[str, str, str, str]]:
    for field in fields(section):
        value, name = getattr(section, field.name), f"{path}{field.name}"
        if is_dataclass(value) and not isinstance(value, Selection):
            yield from _config_keys(value, f"{name}.")
        elif not isinstance(value, Selection):
            bound = field.metadata.get("bound")
            takes = describe(keys.fixed_kinds()[name])
            takes += f", {bound.says}" if bound else ""
            yield name, show(value), takes, field.metadata["doc"]


def _registered(group: str, title: str) -> Iterator[str]:
    registry = registered_names.registry(group)
    yield f"# {title}\n"
    more = {
        "algo": "[The cards](../algorithms.md) explain each with its formula.",
        "env": "[Environments](../environments.md) says how they grade.",
    }
    yield f"All names for `{group}=`, made from the program. {more[group]}\n"
    yield from _table(("name", ""), [(f"`{n}`", registry.about(n)) for n in registry.names()])
    for name in registry.names():
        options = registered_names.options(group, name).items()
        rows = [
            (f"`{group}.{key}`", f"`{show(o.default)}`", describe(o.annotation), o.doc)
            for key, o in options
        ]
        if rows:
            yield f"## {name}\n"
            yield from _table(("option", "default", "takes", ""), rows)


def _api(name: str) -> Iterator[str]:
    yield f"# {name.capitalize()}\n"
    yield "This page is made from the docstrings of the program.\n"
    for module in API[name]:
        yield f"## {module}\n\n::: {module}\n"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


# ---- the links of the built site -----------------------------------------------------------------


class Links(HTMLParser):
    """Collects the anchors, the links and the loaded files of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take note of one element."""
        given = {name: value for name, value in attrs if value is not None}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        elif tag == "link" and given.get("rel") not in ("canonical", "prev", "next", "alternate"):
            self.loaded.append(given.get("href", ""))
        elif "src" in given:
            self.loaded.append(given["src"])


class Found(NamedTuple):
    """What is wrong with the site, and where it links to outside."""

    faults: list[str]
    outside: list[str]


def check(site: Path) -> Found:
    """Return dead internal links and outside requests of all pages, and the outside links."""
    pages = {path: _read(path) for path in sorted(site.rglob("*.html"))}
    faults: list[str] = []
    outside: set[str] = set()
    for path, page in pages.items():
        if path.name == "404.html":  # its links start at the root of a server
            continue
        where = path.relative_to(site)
        faults += [f"{where} loads {url}" for url in page.loaded if _is_outside(url)]
        for url in [*page.links, *page.loaded]:
            if _is_outside(url):
                outside.add(url)
            elif fault := _dead(path, url, pages):
                faults.append(f"{where}: {fault}")
    faults += [f"{p.relative_to(site)} loads from outside" for p in _styles_that_load(site)]
    return Found(faults, sorted(outside))


def _read(path: Path) -> Links:
    page = Links()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def _is_outside(url: str) -> bool:
    return bool(urlsplit(url).netloc) or url.startswith("mailto:")


def _dead(path: Path, url: str, pages: Mapping[Path, Links]) -> str | None:
    parts = urlsplit(url)
    if parts.scheme == "data":
        return None
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return f"{url} leads nowhere"
    anchor = unquote(parts.fragment)
    if anchor and target in pages and anchor not in pages[target].anchors:
        return f"{url}: the page has no such section"
    return None


def _styles_that_load(site: Path) -> list[Path]:
    load_outside = re.compile(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//")
    styles = sorted(site.rglob("*.css"))
    return [path for path in styles if load_outside.search(path.read_text(encoding="utf-8"))]


def _report() -> int:
    found = check(HTML)
    print(f"{len(found.outside)} links lead outside; they were not followed:")
    print("\n".join(f"  {url}" for url in found.outside))
    print("\n".join(found.faults) or "no dead link, and no page loads anything from outside")
    return 1 if found.faults else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["source"]:
            source()
        case ["check"]:
            raise SystemExit(_report())
        case _:
            raise SystemExit(__doc__)
