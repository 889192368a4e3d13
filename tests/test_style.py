"""House rules a machine can check; every check is first shown a file that breaks it."""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("mssr_rl", "algos", "envs", "tests", "benchmarks", "tiny_model")
LONGEST_FUNCTION = 60

Check = Callable[[str], list[str]]


@cache
def parsed(source: str) -> ast.Module:
    return ast.parse(source)


def sources() -> Iterator[Path]:
    """Every Python file once: the links in mssr_rl lead to folders listed here."""
    for folder in FOLDERS:
        yield from (p for p in (ROOT / folder).rglob("*.py") if not _below_a_link(p))


def long_functions(source: str) -> list[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(parsed(source)) if isinstance(node, functions)]
    lengths = [(node.name, (node.end_lineno or 0) - node.lineno + 1) for node in nodes]
    return [f"{name} has {length} lines" for name, length in lengths if length > LONGEST_FUNCTION]


def missing_docstring(source: str) -> list[str]:
    return [] if ast.get_docstring(parsed(source)) else ["the module has no docstring"]


def swallowed_errors(source: str) -> list[str]:
    handlers = [n for n in ast.walk(parsed(source)) if isinstance(n, ast.ExceptHandler)]
    return [
        f"line {handler.lineno} swallows every error"
        for handler in handlers
        if getattr(handler.type, "id", "BaseException") in ("Exception", "BaseException")
        and all(isinstance(statement, ast.Pass | ast.Continue) for statement in handler.body)
    ]


def stubs(source: str) -> list[str]:
    raised = [n for n in ast.walk(parsed(source)) if isinstance(n, ast.Raise)]
    return [f"line {n.lineno}" for n in raised if "NotImplementedError" in ast.dump(n)]


BROKEN: dict[Check, str] = {
    long_functions: "def f():\n" + "    x = 1\n" * LONGEST_FUNCTION,
    missing_docstring: "import os\n",
    swallowed_errors: "try:\n    f()\nexcept Exception:\n    pass\n",
    stubs: "def f():\n    raise NotImplementedError\n",
}
SOUND = '"""A module."""\ntry:\n    import tomllib\nexcept ImportError:\n    pass\n'


@pytest.mark.parametrize("check", BROKEN, ids=lambda check: check.__name__)
def test_every_source_keeps_the_rule(check: Check) -> None:
    found = {str(p.relative_to(ROOT)): check(p.read_text(encoding="utf-8")) for p in sources()}
    assert {path: faults for path, faults in found.items() if faults} == {}


@pytest.mark.parametrize("check", BROKEN, ids=lambda check: check.__name__)
def test_the_rule_finds_a_file_that_breaks_it(check: Check) -> None:
    assert check(BROKEN[check])
    assert not check(SOUND)


def test_the_rules_are_shown_every_folder() -> None:
    seen = {path.relative_to(ROOT).parts[0] for path in sources()}
    assert seen == set(FOLDERS)


def repeated(names: Iterator[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}


def test_no_class_and_no_module_of_the_product_has_the_name_of_another() -> None:
    paths = [p for p in sources() if p.relative_to(ROOT).parts[0] != "tests"]
    trees = [parsed(path.read_text(encoding="utf-8")) for path in paths]
    classes = (n.name for tree in trees for n in tree.body if isinstance(n, ast.ClassDef))
    installed = {"mssr_rl", "algos", "envs"}
    modules = (p.stem for p in paths if p.relative_to(ROOT).parts[0] in installed)
    assert repeated(iter(["Row", "Row", "Cell"])) == {"Row"}
    assert repeated(classes) == set()
    assert repeated(name for name in modules if not name.startswith("__")) == set()


def _below_a_link(path: Path) -> bool:
    return any(parent.is_symlink() for parent in path.parents)
