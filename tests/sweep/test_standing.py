"""How a run stands is read from its folder, whatever ended it."""

import json
import os
from pathlib import Path

import psutil
import pytest

from mssr_rl.sweep import process
from mssr_rl.sweep.standing import RunStanding, clear_stillborn, look


def folder(parent: Path, status: str | None) -> Path:
    path = parent / "run"
    path.mkdir()
    (path / "config.yaml").write_text("seed: 0\n")
    if status:
        (path / "run.json").write_text(json.dumps({"status": status, "exit_reason": "because"}))
    return path


@pytest.mark.parametrize("status", ["done", "collapsed", "failed", "interrupted"])
def test_an_ended_run_stands_as_it_says(tmp_path: Path, status: str) -> None:
    found = look(folder(tmp_path, status))
    assert (found.state, found.reason) == (status, "because")


@pytest.mark.parametrize("status", ["running", None])
def test_a_run_that_says_nothing_and_has_no_owner_was_killed(
    tmp_path: Path, status: str | None
) -> None:
    assert look(folder(tmp_path, status)).state == "interrupted"


def test_a_run_with_a_live_owner_is_busy(tmp_path: Path) -> None:
    path = folder(tmp_path, "running")
    owner = {"pid": os.getpid(), "started": psutil.Process().create_time()}
    (path / "lock").write_text(json.dumps(owner))
    assert look(path).state == "busy"


def test_a_folder_without_a_config_is_absent_and_can_be_cleared(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.mkdir()
    (path / "lock").write_text("")
    assert look(path).state == look(tmp_path / "nowhere").state == "absent"
    clear_stillborn(path)
    assert not path.exists()
    kept = folder(tmp_path, None)
    clear_stillborn(kept)
    assert kept.exists()


def test_progress_is_the_newest_whole_line(tmp_path: Path) -> None:
    path = folder(tmp_path, "running")
    line = json.dumps({"step": 2, "budget/rollouts": 128, "reward/mean": 0.5, "budget/seconds": 3})
    (path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{line}\n{{"step": 3, "budget/ro')
    val, test = ({"split": split, "accuracy": 0.25} for split in ("val", "test"))
    (path / "eval.jsonl").write_text(f"{json.dumps(val)}\n{json.dumps(test)}\n")
    found = look(path)
    assert (found.rollouts, found.reward, found.accuracy, found.seconds) == (128, 0.5, 0.25, 3.0)


def test_a_crash_is_tried_once_more_and_a_wrong_command_never() -> None:
    crashed = RunStanding("failed")
    assert process.meaning(1, crashed, attempts=1) == "again"
    assert process.meaning(-9, RunStanding("interrupted"), attempts=1) == "again"
    assert process.meaning(1, crashed, attempts=2) == "failed"
    assert process.meaning(2, RunStanding("absent"), attempts=1) == "failed"
    assert process.meaning(3, RunStanding("collapsed"), attempts=1) == "finished"
