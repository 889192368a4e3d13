"""Which versions fit, and how one that does not is refused."""

import json
from pathlib import Path

import pytest

from mssr_rl.config.compose import load
from mssr_rl.engine.openrlhf import cpu, package_versions
from mssr_rl.errors import UserError

ALL = {**package_versions.wanted("cpu"), "vllm": "0.29.0"}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine whose packages are this dict."""
    packages = dict(ALL)
    monkeypatch.setattr(package_versions, "found", packages.get)
    return packages


def test_what_fits_is_taken(installed) -> None:
    installed["torch"] = "2.13.0+cpu"
    package_versions.require("cpu")
    package_versions.require("cuda:0")


@pytest.mark.parametrize("package", sorted(package_versions.wanted("cpu")))
def test_another_version_is_refused_by_name(installed, package: str) -> None:
    installed[package] = "99"
    with pytest.raises(UserError, match=rf"{package} 99 \(needs .*scripts/run.sh.*engine=local"):
        package_versions.require("cpu")


def test_what_is_missing_is_said(installed) -> None:
    del installed["vllm"]
    with pytest.raises(UserError, match=r"vllm is missing \(needs 0\.29\.0\).*\[cluster\]"):
        package_versions.require("cuda")


def test_every_hook_says_why_and_is_written_for_the_version_that_fits() -> None:
    for hook in cpu.HOOKS:
        package, version = hook.written_for
        assert ALL[package] == version, hook.module
        assert len(hook.reason) > 20
        assert hook.before or hook.after


def test_a_family_that_vllm_cannot_run_is_refused_by_name_and_the_ranks_may_sample(
    tmp_path: Path,
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3_vl"}))
    words = ["engine=openrlhf", f"model.path={tmp_path}"]
    with pytest.raises(UserError, match=r"0\.29\.0 cannot sample .* a qwen3_vl model"):
        package_versions.require_sampler(load(words))
    package_versions.require_sampler(load([*words, "rollout.sampler=transformers"]))
    package_versions.require_sampler(load(["engine=openrlhf"]))
