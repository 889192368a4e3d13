"""status: what every run is doing, told apart by lock, heartbeat and run.json."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mssr_rl import cli
from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.run import runlock, trainer
from mssr_rl.run.pulse import Pulse
from mssr_rl.run.status import runs, status, status_table

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]


def make(folder: Path, state: str = "running", beat_age: float = 3.0) -> Path:
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"status": state, "steps": 9}))
    pulse = Pulse(folder, 9)
    pulse.enter("update", 4, 1024)
    beat = json.loads((folder / "heartbeat.json").read_text())
    (folder / "heartbeat.json").write_text(json.dumps({**beat, "at": time.time() - beat_age}))
    return folder


def test_an_evaluation_shows_its_scores_in_place_of_steps(tmp_path: Path) -> None:
    folder = tmp_path / "scored"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"status": "done", "kind": "evaluation"}))
    assert status(folder, tmp_path)[1:5] == ("done", "evaluation", "-", "evaluate")
    rows = [{"env": "mmk12", "split": split, "accuracy": 0.4375} for split in ("val", "test")]
    lines = [*map(json.dumps, rows), "damaged"]
    (folder / "eval.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert status(folder, tmp_path).phase == "mmk12 val 43.8 %, mmk12 test 43.8 %"


def test_a_run_that_is_alive_is_running(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    runlock.acquire(run)
    found = status(run, tmp_path)
    assert found == ("a", "running", "4 of 9", "1,024", "update", "3 s ago")
    assert found.alive


def test_a_phase_that_lasts_is_slow(tmp_path: Path) -> None:
    run = make(tmp_path / "a", beat_age=1300)
    runlock.acquire(run)
    assert status(run, tmp_path)[1::4] == ("slow", "22 min ago")


def test_a_run_whose_process_is_gone_has_died(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    script = (
        "from pathlib import Path; from mssr_rl.run import runlock, runlog; import os, signal\n"
    )
    script += f"runlock.acquire(Path({str(run)!r})); os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert status(run, tmp_path).state == "died"


@pytest.mark.parametrize("state", ["done", "interrupted", "collapsed", "failed"])
def test_an_end_is_told_as_it_was(tmp_path: Path, state: str) -> None:
    found = status(make(tmp_path / "a", state, beat_age=3 * 3600), tmp_path)
    assert (found.state, found.phase, found.age) == (state, "-", "3 h ago")
    assert not found.alive


def test_a_run_of_which_little_is_there_has_a_line(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "run.json").write_text("{")
    assert status(tmp_path / "a", tmp_path) == ("a", "died", "0 of ?", "0", "start", "never")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("at", "soon"), ("at", [1]), ("at", float("nan")), ("at", 10**400), ("rollouts", "many"),
        ("rollouts", None), ("step", {"a": 1}), ("steps", [2]), ("phase", 7), ("phase", None),
    ],
)  # fmt: skip
def test_a_heartbeat_with_odd_values_has_a_line(tmp_path: Path, key: str, value: object) -> None:
    run = make(tmp_path / "a")
    beat = json.loads((run / "heartbeat.json").read_text())
    (run / "heartbeat.json").write_text(json.dumps({**beat, key: value}))
    assert status(run, tmp_path).name == "a"
    (run / "run.json").write_text(json.dumps({"status": value, "steps": value}))
    assert status(run, tmp_path).name == "a"


def test_files_that_are_deep_or_are_pipes_have_a_line(tmp_path: Path) -> None:
    run = make(tmp_path / "a")
    (run / "run.json").write_text("[" * 100_000)
    (run / "heartbeat.json").unlink()
    os.mkfifo(run / "heartbeat.json")
    assert status(run, tmp_path).age == "never"


def test_nothing_in_a_run_folder_moves_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "\x1b[2J\x1b]0;owned\x07\u202e\nfine  done"
    run = make(tmp_path / "a\x1b[31m")
    beat = json.loads((run / "heartbeat.json").read_text())
    odd = {"phase": evil, "step": evil, "steps": evil}
    (run / "heartbeat.json").write_text(json.dumps({**beat, **odd}))
    other = make(tmp_path / "b")
    (other / "run.json").write_text(json.dumps({"status": evil, "steps": evil}))
    assert cli.main(["status", f"runs_dir={tmp_path}"]) == cli.DONE
    assert cli.main(["status", f"runs_dir={tmp_path}/\x1b[2Jgone"]) == cli.USAGE
    printed, refused = capsys.readouterr()
    assert not {"\x1b", "\x07", "\u202e"} & {*printed, *refused}
    assert printed.count("\n") == 3  # a head, and a run on each line


def test_runs_inside_comparisons_are_found_and_circles_end(tmp_path: Path) -> None:
    make(tmp_path / "one" / "runs" / "grpo-s0")
    make(tmp_path / "two")
    (tmp_path / "circle").symlink_to(tmp_path)
    names = {run.relative_to(tmp_path).as_posix() for run in runs(tmp_path)}
    assert {"one/runs/grpo-s0", "two"} <= names


def test_the_command_prints_a_table(
    configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    config = configure("name=mine")
    trainer.run(config, make_engine)
    capsys.readouterr()
    assert cli.main(["status", f"runs_dir={config.runs_dir}"]) == cli.DONE
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["run", "state", "step", "rollouts", "phase", "last", "beat"]
    assert line.split()[:5] == ["mine", "done", "6", "of", "6"]
    assert cli.main(["status", "seed=1"]) == cli.USAGE


def test_a_folder_without_runs_is_said_to_be_one(tmp_path: Path) -> None:
    assert list(status_table([tmp_path / "none"])) == [f"no run is in {tmp_path / 'none'}"]


def test_a_pulse_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    pulse = Pulse(tmp_path / "gone", 9)
    pulse.enter("rollout", 1, 2)
    assert pulse.beat.phase == "rollout"
    assert pulse.policy_at_rest
    pulse.enter("update", 1, 2)
    assert not pulse.policy_at_rest
