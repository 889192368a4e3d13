"""What the doctor says, about this machine and about one that lacks everything."""

import pytest

from mssr_rl import cli, doctor
from mssr_rl.engine.openrlhf import package_versions


def test_the_doctor_says_something_about_everything(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor"]) == cli.DONE
    said = capsys.readouterr().out
    for subject in ("machine", "engine=local", "engine=openrlhf", "shared memory", "Ray cluster"):
        assert subject in said


def test_a_version_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_versions, "found", lambda _: "0.1")
    (line,) = [line for line in doctor.diagnose([]).splitlines() if "engine=openrlhf" in line]
    assert line.startswith("NO")
    assert "ray 0.1 (needs 2.55.0)" in line


def test_a_missing_peft_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_versions, "found", lambda _: None)
    (line,) = [line for line in doctor.diagnose([]).splitlines() if "engine.lora_rank" in line]
    assert line.startswith("NO")
    assert 'peft is missing; `pip install -e ".[lora]"` installs it' in line


def test_the_doctor_takes_no_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "engine=local"]) == cli.USAGE
    assert "this command takes no arguments" in capsys.readouterr().err
