"""Execute the lessons of docs/lessons, and make notebooks of them.

    python scripts/lessons.py run [NAME ...]      execute; write the outputs into the pages
    python scripts/lessons.py notebooks FOLDER    write each lesson as a notebook

A lesson is a Markdown page. Its `python` and `bash` blocks are the cells of a notebook (jupytext),
and run in one kernel, in an empty folder. The block after `<!-- output -->` is what a cell printed,
and is written by `run`. Under `<!-- output: numbers vary -->` another machine may print other
numbers: results of training, and times. A figure is stored beside the page.
"""

import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jupytext
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
LESSONS = ROOT / "docs" / "lessons"
CELL = re.compile(r"^```(?:python|bash)\n.*?^```\n", re.DOTALL | re.MULTILINE)
OUTPUT = re.compile(
    r"\n<!-- output(?P<vary>: numbers vary)? -->\n(?:```text\n.*?^```\n|!\[[^\n]*\n)+",
    re.DOTALL | re.MULTILINE,
)
TEXT = re.compile(r"```text\n(.*?)^```", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"[-+−±]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
LONGEST = 300  # seconds that a cell may take
# Figures are vector graphics without a date, so that the same figure is the same file.
# tqdm's note that a widget is not installed names a folder of the machine.
SETUP = """
import warnings
warnings.filterwarnings("ignore", message="IProgress not found")
import matplotlib
from matplotlib_inline.backend_inline import set_matplotlib_formats
matplotlib.rcParams.update({"svg.hashsalt": "lesson", "figure.figsize": (6.4, 3.0),
    "svg.fonttype": "none", "axes.spines.top": False, "axes.spines.right": False})
set_matplotlib_formats("svg", metadata={"Date": None, "Creator": None})
"""


class Shown(NamedTuple):
    """What one cell printed, and the figure that it drew."""

    text: str
    figure: str  # SVG; empty: none


def pages() -> list[Path]:
    """Return the lessons, in their order."""
    return sorted(LESSONS.glob("[0-9][0-9]_*.md"))


def without_outputs(page: str) -> str:
    """Return a lesson without the recorded outputs."""
    return OUTPUT.sub("", page)


def notebook(page: str) -> Any:
    """Return a lesson as a notebook that has not been executed."""
    return jupytext.reads(without_outputs(page), fmt="md")


def execute(page: str, folder: Path) -> list[Shown]:
    """Execute a lesson in `folder`; return what each cell shows.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    made = notebook(page)
    setup = jupytext.reads(f"```python\n{SETUP}```\n", fmt="md").cells
    made.cells = [*setup, *made.cells]
    old = dict(os.environ)
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{old['PATH']}"
    os.environ |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    try:
        place = {"metadata": {"path": str(folder)}}
        quiet = ["--IPKernelApp.log_level=40"]  # else it warns that it listens on the loopback
        NotebookClient(
            made, kernel_name="python3", timeout=LONGEST, resources=place, extra_arguments=quiet
        ).execute()
    finally:
        os.environ.clear()
        os.environ.update(old)
    return [_shown(cell) for cell in made.cells[1:] if cell.cell_type == "code"]


def recorded(page: str) -> list[tuple[str, bool]]:
    """Return the recorded text of every cell, and whether its numbers may vary."""
    found = []
    for cell in CELL.finditer(page):
        output = OUTPUT.match(page, cell.end())
        shown = TEXT.findall(output[0]) if output else []
        found.append(("".join(shown), bool(output and output["vary"])))
    return found


def masked(text: str) -> str:
    """Return the text with every number replaced, and spaces of tables made one."""
    return re.sub(r"[ \t]+", " ", NUMBER.sub("#", text))


def with_outputs(page: str, shown: Sequence[Shown], name: str) -> str:
    """Return the lesson with these outputs; figures are written beside it."""
    varies = [vary for _, vary in recorded(page)]
    bare, results = without_outputs(page), iter(zip(shown, varies, strict=True))
    figures = iter(range(1, len(shown) + 1))

    def follow(cell: re.Match[str]) -> str:
        output, vary = next(results)
        blocks = list(_blocks(output, name, figures))
        mark = f"\n<!-- output{': numbers vary' * vary} -->\n"
        return cell[0] + (mark + "".join(blocks) if blocks else "")

    return CELL.sub(follow, bare)


def _blocks(output: Shown, name: str, figures: Iterator[int]) -> Iterator[str]:
    if output.text:
        yield f"```text\n{output.text}```\n"
    if output.figure:
        file = f"{name[:2]}_{next(figures)}.svg"
        (LESSONS / file).write_text(output.figure, encoding="utf-8")
        yield f"![The figure that this cell draws]({file})\n"


def _shown(cell: Any) -> Shown:
    text, figure = "", ""
    for output in cell.outputs:
        data = output.get("data", {})
        figure = data.get("image/svg+xml", figure)
        if "image/svg+xml" not in data:
            text += output.get("text", data.get("text/plain", ""))
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    return Shown("".join(f"{line}\n" for line in lines), figure)


def run(names: Sequence[str]) -> None:
    """Execute lessons and write their outputs into the pages."""
    for path in pages():
        if names and path.stem not in names and path.stem[:2] not in names:
            continue
        page = path.read_text(encoding="utf-8")
        with tempfile.TemporaryDirectory() as scratch:
            shown = execute(page, Path(scratch))
        path.write_text(with_outputs(page, shown, path.stem), encoding="utf-8")
        print(f"{path.stem}: {len(shown)} cells")


def notebooks(folder: Path) -> None:
    """Write every lesson as a notebook without outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in pages():
        made = notebook(path.read_text(encoding="utf-8"))
        jupytext.write(made, folder / f"{path.stem}.ipynb")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", *names]:
            run(names)
        case ["notebooks", folder]:
            notebooks(Path(folder))
        case _:
            raise SystemExit(__doc__)
