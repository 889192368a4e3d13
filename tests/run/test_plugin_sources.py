"""Which files a plug-in is made of."""

from pathlib import Path

import pytest

from mssr_rl.config.compose import load
from mssr_rl.run import plugin_sources


def test_the_files_of_a_plug_in_are_its_own_and_those_beside_it_that_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {
        "mypack/__init__.py": "from . import one\n",
        "mypack/one.py": "from .sub.two import a\nimport outer.inner, json, mssr_rl\n",
        "mypack/sub/__init__.py": "",
        "mypack/sub/two.py": "from ..three import b as a\n",
        "mypack/three.py": "b = 1\n",
        "mypack/found_by_being_there.py": "this is no Python (\n",
        "outer/__init__.py": "",
        "outer/inner.py": "def f():\n    import late\n",
        "late.py": "",
    }
    beside = {"outer/other.py": "", "unrelated.py": "", "mssr_rl.py": "raise SystemExit\n"}
    for name, text in {**wanted, **beside}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "mssr_rl.py").unlink()  # a namesake would be imported in place of the package
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("mypack")
    assert plugin_sources.hashes("mypack").keys() == wanted.keys()
    assert plugin_sources.hashes("no_such_module") == {}


def test_an_installed_package_is_not_followed_to_others() -> None:
    import yaml  # type: ignore[import-untyped]

    assert yaml.__file__
    names = plugin_sources.hashes("yaml")
    assert "yaml/loader.py" in names
    assert {name.partition("/")[0] for name in names} == {"yaml"}


def test_the_packages_own_algorithms_are_no_plug_ins() -> None:
    assert plugin_sources.of(load([])) == {}


def test_differences_are_told_file_by_file() -> None:
    old = {"a.py": "1", "b.py": "1", "c.py": "1"}
    new = {"a.py": "1", "b.py": "2", "d.py": "1"}
    assert plugin_sources.differences(old, new) == ["b.py changed", "c.py is gone", "d.py is new"]
    assert plugin_sources.differences(None, {}) == []
