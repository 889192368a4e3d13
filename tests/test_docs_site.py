"""The documentation site: no warning, no dead link, nothing loaded from outside."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mssr_rl.config.keys import fixed_kinds
from mssr_rl.verbs import VERBS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "scripts" / "docs_site.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_no_link_is_dead(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)}
    for words in (
        ["scripts/docs_site.py", "source"],
        ["-m", "mkdocs", "build", "--strict", "--config-file", "build/site/mkdocs.yml"],
        ["scripts/docs_site.py", "check"],
    ):
        command = [sys.executable, *words]
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    built = ROOT / "build" / "site" / "html"
    assert "subtract_leave_one_out_mean" in (built / "api" / "advantage.html").read_text("utf-8")


@pytest.mark.slow
def test_the_reference_has_every_verb_and_every_key(site: ModuleType) -> None:
    pages = site.generated()
    assert all(f"\n## {verb}\n" in pages["reference/verbs.md"] for verb in VERBS)
    keys = [key for key in fixed_kinds() if f"| `{key}` |" not in pages["reference/keys.md"]]
    assert keys == []


def test_links_fit_the_place_of_a_page_on_the_site(site: ModuleType) -> None:
    text = "[a](docs/data.md#rows) [b](CONTRIBUTING.md) [c](https://arxiv.org)\n```\n[d](docs/x.md)\n```\n"
    moved = site.relinked(text, "README.md", "index.md")
    assert "[a](data.md#rows) [b](contributing.md) [c](https://arxiv.org)" in moved
    assert "[d](docs/x.md)" in moved
    assert site.relinked("[a](../../README.md)", "docs/lessons/x.md", "lessons/x.md") == (
        "[a](../index.md)"
    )


FAULTS = {
    '<a href="gone.html">x</a>': "gone.html leads nowhere",
    '<a href="other.html#gone">x</a>': "other.html#gone: the page has no such section",
    '<a href="#gone">x</a>': "#gone: the page has no such section",
    '<script src="https://example.org/x.js"></script>': "loads https://example.org/x.js",
    '<link rel="stylesheet" href="//fonts.example.org">': "loads //fonts.example.org",
}


@pytest.mark.parametrize("element", FAULTS)
def test_the_check_finds_a_fault(site: ModuleType, tmp_path: Path, element: str) -> None:
    (tmp_path / "other.html").write_text('<h1 id="here">x</h1>', encoding="utf-8")
    (tmp_path / "index.html").write_text(element, encoding="utf-8")
    (fault,) = site.check(tmp_path).faults
    assert FAULTS[element] in fault


def test_the_check_lists_links_that_lead_outside(site: ModuleType, tmp_path: Path) -> None:
    page = '<a href="https://arxiv.org/abs/1">x</a><a href="other.html#here">y</a>'
    (tmp_path / "other.html").write_text('<h1 id="here">x</h1>', encoding="utf-8")
    (tmp_path / "index.html").write_text(page, encoding="utf-8")
    assert site.check(tmp_path) == ([], ["https://arxiv.org/abs/1"])


def test_a_style_that_loads_from_outside_is_found(site: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("@import 'https://fonts.example.org'", encoding="utf-8")
    assert site.check(tmp_path).faults == ["a.css loads from outside"]


def test_documents_that_the_navigation_does_not_list_come_last(
    site: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site, "SOURCE", tmp_path)
    (tmp_path / "index.md").touch()
    (tmp_path / "new.md").touch()
    made = site.completed("nav:\n  - Start: index.md\n")
    assert made == "nav:\n- Start: index.md\n- More:\n  - new.md\n"
