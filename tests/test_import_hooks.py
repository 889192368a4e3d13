"""Hooks on modules as they are imported, on modules made for the test."""

import importlib
import sys
from pathlib import Path

import pytest

from mssr_rl import import_hooks
from mssr_rl.import_hooks import Hook, install

FOR = ("nothing", "1")


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of a module that nobody has imported yet."""
    name = f"hooked_{request.node.name.replace('[', '_').replace(']', '_')}"
    (tmp_path / f"{name}.py").write_text("import sys\nSEEN = getattr(sys, 'mark', None)\nX = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(import_hooks._finder, "hooks", dict(import_hooks._finder.hooks))
    return name


def test_before_runs_before_the_modules_code_and_after_on_the_module(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def before() -> None:
        monkeypatch.setattr(sys, "mark", "set", raising=False)

    install([Hook(module, FOR, "to see", before, lambda m: setattr(m, "X", m.X + 1))])
    found = importlib.import_module(module)
    assert (found.SEEN, found.X) == ("set", 2)


def test_twice_is_as_good_as_once(module: str) -> None:
    hook = Hook(module, FOR, "to count", after=lambda m: setattr(m, "X", m.X + 1))
    install([hook])
    install([hook])
    assert importlib.import_module(module).X == 2


def test_a_module_that_was_imported_before_is_refused(module: str) -> None:
    importlib.import_module(module)
    with pytest.raises(RuntimeError, match=f"imported before its hook was installed: {module}"):
        install([Hook(module, FOR, "too late")])
