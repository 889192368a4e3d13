"""The run directory: one owner, never reused, streams that can be cut back to a checkpoint."""

import json
import os
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mssr_rl import files
from mssr_rl.errors import UserError
from mssr_rl.run import runlock, runlog
from mssr_rl.run_streams import STREAMS


def test_a_directory_that_exists_is_never_written_over(tmp_path: Path) -> None:
    runlog.create(tmp_path, "first").close()
    (tmp_path / "first" / "config.yaml").touch()
    with pytest.raises(UserError, match=r"exists already.*name=.*resume=true name=first"):
        runlog.create(tmp_path, "first")


def test_what_a_kill_left_before_there_was_a_config_is_begun_again(tmp_path: Path) -> None:
    log = runlog.create(tmp_path, "first")
    (log.folder / ".config.yaml.123").touch()
    with pytest.raises(UserError, match="in use by process"):
        runlog.create(tmp_path, "first")
    log.close()
    runlog.create(tmp_path, "first").close()


def test_what_a_kill_left_aside_is_swept_when_the_run_goes_on(tmp_path: Path) -> None:
    log = runlog.create(tmp_path, "first")
    log.close()
    for name in ("config.yaml", "traceback.txt", ".run.json.123", ".heartbeat.json.9", ".mine.txt"):
        (log.folder / name).touch()
    runlog.reopen(tmp_path, "first").close()
    left = {path.name for path in log.folder.iterdir()} - {f"{s}.jsonl" for s in STREAMS}
    assert left == {"config.yaml", "lock", ".mine.txt"}


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_half(tmp_path: Path) -> None:
    log = runlog.create(tmp_path, "first")
    log.write("metrics", {"step": 1})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            log.write("metrics", {"step": 2, "reward/mean": 0.5})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    log.write("metrics", {"step": 3})
    assert [row["step"] for row in log.read("metrics")] == [1, 3]
    log.close()


@pytest.mark.parametrize("runs_dir", ["/proc/runs", "/dev/null/runs"])
def test_a_place_that_cannot_be_written_is_named(runs_dir: str) -> None:
    with pytest.raises(UserError, match=r"cannot be written: .*; choose another runs_dir="):
        runlog.create(Path(runs_dir), "first")


def test_two_unnamed_runs_of_the_same_second_get_directories_of_their_own(tmp_path: Path) -> None:
    logs = [runlog.create_unnamed(tmp_path, "env", "algo", "s0") for _ in range(3)]
    assert len({log.folder for log in logs}) == 3
    assert all(log.name.startswith("env-algo-s0-") for log in logs)
    for log in logs:
        log.close()


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "x" * 200, "a b"])
def test_a_name_that_is_no_folder_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="cannot be the name of a folder"):
        runlog.create(tmp_path, name)


def test_resuming_what_was_never_started_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run to resume"):
        runlog.reopen(tmp_path, "nothing")


def test_streams_are_cut_back_to_where_a_checkpoint_left_them(tmp_path: Path) -> None:
    log = runlog.create(tmp_path, "run")
    log.write("metrics", {"step": 1})
    sizes = log.sizes()
    log.write("metrics", {"step": 2})
    log.write("eval", {"step": 2})
    log.cut_back(sizes)
    log.write("metrics", {"step": 2, "again": True})
    assert log.read("metrics") == [{"step": 1}, {"step": 2, "again": True}]
    assert log.read("eval") == []
    log.close()


def test_a_stream_shorter_than_its_checkpoint_is_refused(tmp_path: Path) -> None:
    log = runlog.create(tmp_path, "run")
    log.write("metrics", {"step": 1})
    sizes = log.sizes()
    (log.folder / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(UserError, match="shorter than its checkpoint says"):
        log.cut_back(sizes)
    log.close()


def test_nan_never_reaches_a_file(tmp_path: Path) -> None:
    log = runlog.create(tmp_path, "run")
    with pytest.raises(ValueError, match="not JSON compliant"):
        log.write("metrics", {"reward/mean": float("nan")})
    log.close()


def test_any_model_text_fits_on_one_line(tmp_path: Path) -> None:
    log = runlog.create(tmp_path, "run")
    text = "\u2028 \n \x1b[31m \ud800 \x00 </script>"
    log.write("samples", {"response": text})
    assert log.read("samples") == [{"response": text}]
    assert len((log.folder / "samples.jsonl").read_bytes().splitlines()) == 1
    log.close()


def test_facts_are_added_to_run_json_and_the_end_is_noted(tmp_path: Path) -> None:
    log = runlog.create(tmp_path, "run")
    log.describe(status="running", versions={"python": "3"})
    log.end("done", "the budget is spent")
    log.close()
    known = json.loads((log.folder / "run.json").read_text())
    assert known["versions"] == {"python": "3"}
    assert (known["status"], known["exit_reason"]) == ("done", "the budget is spent")


def test_a_live_owner_keeps_everybody_else_out(tmp_path: Path) -> None:
    log = runlog.create(tmp_path, "run")
    (log.folder / "config.yaml").touch()
    with pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
        runlog.reopen(tmp_path, "run")
    log.close()
    runlog.reopen(tmp_path, "run").close()


def test_a_dead_owner_s_lock_is_taken_over(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True)  # fmt: skip
    held = {"pid": int(done.stdout), "started": 0.0}
    (tmp_path / "lock").write_text(json.dumps(held))
    runlock.acquire(tmp_path)


def test_a_recycled_process_id_is_not_taken_for_the_owner(tmp_path: Path) -> None:
    started = psutil.Process().create_time() - 1000
    (tmp_path / "lock").write_text(json.dumps({"pid": os.getpid(), "started": started}))
    runlock.acquire(tmp_path)


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """A directory that a process on another host holds."""
    held = {"pid": os.getpid(), "started": psutil.Process().create_time(), "host": "far"}
    (tmp_path / "lock").write_text(json.dumps(held))
    return tmp_path


def test_a_lock_of_another_host_is_respected_while_its_heart_beats(far: Path) -> None:
    (far / "heartbeat.json").touch()
    assert runlock.owner(far) == os.getpid()
    with pytest.raises(UserError, match=rf"in use by process {os.getpid()} on far.*delete .*lock"):
        runlock.acquire(far)
    before = time.time() - 590
    os.utime(far / "heartbeat.json", (before, before))
    with pytest.raises(UserError, match="on far"):
        runlock.acquire(far)


def test_a_lock_of_another_host_is_taken_over_after_ten_minutes_of_silence(far: Path) -> None:
    (far / "heartbeat.json").touch()
    before = time.time() - 610
    os.utime(far / "heartbeat.json", (before, before))
    assert runlock.owner(far) is None
    runlock.acquire(far)
    assert json.loads((far / "lock").read_text())["host"] == socket.gethostname()


def test_a_lock_of_another_host_without_a_heartbeat_is_respected(far: Path) -> None:
    with pytest.raises(UserError, match="on far"):
        runlock.acquire(far)


def test_a_lock_is_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lock")
    assert runlock.owner(tmp_path) is None


@pytest.mark.parametrize("torn", ["", "{", '{"pid": 3', "{}", "5", '{"pid": [], "started": 1}'])
def test_a_lock_cut_short_by_a_kill_is_nobody_s(tmp_path: Path, torn: str) -> None:
    (tmp_path / "lock").write_text(torn)
    runlock.acquire(tmp_path)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"a": float("inf")})
    assert json.loads(path.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]
