"""Every lesson is executed, and its page shows what its cells print."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("nbclient")
pytest.importorskip("jupytext")

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs" / "lessons").glob("[0-9][0-9]_*.md"))


def loaded(name: str) -> ModuleType:
    """A script of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lessons = loaded("lessons")


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_lesson_runs_and_its_page_shows_what_it_prints(path: Path, tmp_path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    cells = lessons.recorded(page)
    shown = lessons.execute(page, tmp_path)
    assert len(shown) == len(cells)
    for (text, varies), now in zip(cells, shown, strict=True):
        if varies:
            assert lessons.masked(text) == lessons.masked(now.text)
        else:
            assert text == now.text
    figures = re.findall(r"\((\d\d_\d\.svg)\)", page)
    assert len(figures) == sum(bool(now.figure) for now in shown)
    assert all((path.parent / name).is_file() for name in figures)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_lesson_says_what_it_teaches_and_ends_with_an_exercise(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert re.match(rf"# {int(path.stem[:2])}\. .+\n\n\*\*You will learn\*\* ", page)
    for section in ("Exercise", "Answer", "Read next"):
        assert f"\n## {section}\n" in page
    assert not re.search(r"site-packages|/(?:home|tmp|work|root)/", page)  # a recorded folder


def test_a_page_without_its_outputs_gets_them_back() -> None:
    page = (
        "# 1\n\n```python\nprint(2)\n```\n\n<!-- output: numbers vary -->\n```text\n1\n```\n\nend\n"
    )
    bare = lessons.without_outputs(page)
    assert bare == "# 1\n\n```python\nprint(2)\n```\n\nend\n"
    assert lessons.recorded(page) == [("1\n", True)]
    again = lessons.with_outputs(page, [lessons.Shown("2\n", "")], "00_name")
    assert again == page.replace("\n1\n", "\n2\n")


def test_numbers_that_vary_are_masked_and_words_are_not() -> None:
    assert lessons.masked("val 57.8%   done") == lessons.masked("val  9.1% done")
    assert lessons.masked("val 57.8% done") != lessons.masked("val 57.8% failed")


@pytest.mark.slow
def test_notebooks_hold_the_cells_and_no_output(tmp_path: Path) -> None:
    command = [sys.executable, "scripts/lessons.py", "notebooks", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    made = sorted(tmp_path.glob("*.ipynb"))
    assert [path.stem for path in made] == [path.stem for path in PAGES]
    text = made[0].read_text(encoding="utf-8")
    assert "subtract_leave_one_out_mean" in text
    assert "size 0.88" not in text
