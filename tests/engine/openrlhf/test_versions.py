"""Which versions fit, and how one that does not is refused."""

import pytest

from mssr_rl.engine.openrlhf import cpu, versions
from mssr_rl.errors import UserError

ALL = {**versions.wanted("cpu"), "vllm": "0.29.0"}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine whose packages are this dict."""
    packages = dict(ALL)
    monkeypatch.setattr(versions, "found", packages.get)
    return packages


def test_what_fits_is_taken(installed) -> None:
    installed["torch"] = "2.13.0+cpu"
    versions.require("cpu")
    versions.require("cuda:0")


@pytest.mark.parametrize("package", sorted(versions.wanted("cpu")))
def test_another_version_is_refused_by_name(installed, package: str) -> None:
    installed[package] = "99"
    with pytest.raises(UserError, match=rf"{package} 99 \(needs .*scripts/run.sh.*engine=local"):
        versions.require("cpu")


def test_what_is_missing_is_said(installed) -> None:
    del installed["vllm"]
    with pytest.raises(UserError, match=r"vllm is missing \(needs 0\.29\.0\).*\[cluster\]"):
        versions.require("cuda")


def test_every_hook_says_why_and_is_written_for_the_version_that_fits() -> None:
    for hook in cpu.HOOKS:
        package, version = hook.written_for
        assert ALL[package] == version, hook.module
        assert len(hook.reason) > 20
        assert hook.before or hook.after
