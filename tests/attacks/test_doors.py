"""Modules that read folders from strangers open files by `mssr_rl.untrusted` and in no other way.

A file that is opened by itself waits for a pipe, follows a link and reads without end. What opens a
file of ours, or writes one, is listed with its reason.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "mssr_rl"
READERS = (
    "comparison", "sweep", "config", "data", "imports", "lens", "models", "planning", "report",
    "run", "grade.py",
)  # fmt: skip
OPENS = frozenset({"open", "read_text", "read_bytes", "fdopen"})
FUNCTIONS = frozenset({"open", "load_file", "safe_open", "read_table", "copyfile", "copy"})
OURS = {
    "sweep/process.py: open": "the log that a run of ours writes to",
    "comparison/document.py: read_text": "the package's own schemas",
    "data/seen.py: open": "bytes that are in memory",
    "data/pictures.py: open": "bytes that are in memory",
    "data/workbooks.py: open": "a part of a zip archive that is in memory",
    "models/lora.py: load_file": "the adapters in a checkpoint that was verified",
    "models/native.py: read_bytes": "the package's own kernels",
    "models/native.py: read_text": "/proc/cpuinfo",
    "models/templates.py: read_text": "the package's own template",
    "models/tensors.py: safe_open": "the optimiser's state in a checkpoint that was verified",
    "report/gallery.py: open": "bytes that are in memory",
    "report/html.py: read_text": "the package's own templates",
    "run/plugin_sources.py: read_bytes": "plug-ins, which are trusted",
    "run/provenance.py: read_bytes": "the package's own sources",
    "run/loggers/tensorboard_log.py: open": "pictures that this run wrote",
    "run/runlock.py: open": "the lock of a run of ours, which is taken",
    "run/runlock.py: read_text": "/proc, of a process",
    "run/runlog.py: open": "the streams that a run of ours appends to",
    "run/stalls.py: open": "the stacks that a run of ours appends to",
}


def opens(source: str) -> Iterator[str]:
    """The names of calls in a source that open a file."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr in OPENS | FUNCTIONS:
            if getattr(node.func.value, "id", "") != "copy":
                yield node.func.attr
        elif isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS:
            yield node.func.id


def sources() -> Iterator[Path]:
    for name in READERS:
        place = ROOT / name
        yield from sorted(place.rglob("*.py")) if place.is_dir() else [place]


def found() -> set[str]:
    return {
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in sources()
        for name in opens(path.read_text("utf-8"))
    }


def test_every_other_way_to_open_a_file_is_known_and_has_its_reason() -> None:
    assert found() - set(OURS) == set()


def test_the_list_of_exceptions_holds_none_that_is_gone() -> None:
    assert set(OURS) - found() == set()


@pytest.mark.parametrize(
    "line",
    [
        "open(path)",
        "path.open('rb')",
        "path.read_text()",
        "json.loads((folder / 'x').read_bytes())",
        "load_file(path)",
        "pq.read_table(path)",
        "shutil.copy(a, b)",
        "with safe_open(path, framework='pt') as file: pass",
    ],
)
def test_a_new_one_is_found(line: str) -> None:
    assert list(opens(line))
    assert not list(opens("untrusted.content(path); copy.copy(x)"))
