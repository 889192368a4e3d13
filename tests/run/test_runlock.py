"""One owner a directory: held by the kernel where it can, told by what the file says elsewhere."""

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import psutil
import pytest

from mssr_rl.errors import UserError
from mssr_rl.run import runlock

HOLD = """
import sys, time
from pathlib import Path
from mssr_rl.run import runlock
runlock.acquire(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def write(folder: Path, **changes: object) -> None:
    """Change what the lock file says, whoever holds it."""
    path = folder / "lock"
    known = json.loads(path.read_text()) if path.exists() and path.read_text() else {}
    path.write_text(json.dumps({**known, **changes}))


@pytest.fixture
def held(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that owns `tmp_path`."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that has none."""

    def refuse(*_: object) -> NoReturn:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)


# ---- with locks ----


def test_an_owner_out_of_sight_is_seen_by_its_lock(
    tmp_path: Path, held: "subprocess.Popen[str]"
) -> None:
    """As in two containers over one folder: the process id of one means nothing in the other."""
    write(tmp_path, pid=2**22 - 1, started=0.0, pids="pid:[1]")
    assert runlock.owner(tmp_path) == 2**22 - 1
    with pytest.raises(UserError, match="in use by process 4194303; wait for it"):
        runlock.acquire(tmp_path)
    (tmp_path / "lock").write_text("")
    assert runlock.owner(tmp_path) == 0
    with pytest.raises(UserError, match="in use by another process; wait for it"):
        runlock.acquire(tmp_path)


def test_an_owner_that_is_dead_but_not_reaped_owns_nothing(
    tmp_path: Path, held: "subprocess.Popen[str]"
) -> None:
    os.kill(held.pid, signal.SIGKILL)
    os.waitid(os.P_PID, held.pid, os.WEXITED | os.WNOWAIT)  # dead, and its parent has not looked
    assert psutil.Process(held.pid).status() == psutil.STATUS_ZOMBIE
    assert runlock.owner(tmp_path) is None
    runlock.acquire(tmp_path)
    runlock.release(tmp_path)


def test_a_dead_owner_of_another_container_on_this_machine_is_known_to_be_dead(
    tmp_path: Path, held: "subprocess.Popen[str]"
) -> None:
    write(tmp_path, host="another-container", pids="pid:[1]")
    (tmp_path / "heartbeat.json").touch()
    assert runlock.owner(tmp_path) == held.pid
    held.kill()
    held.wait()
    assert runlock.owner(tmp_path) is None


def test_whoever_looks_takes_nothing_and_disturbs_nobody(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    over = threading.Event()
    seen: list[int | None] = []

    def look() -> None:
        while not over.wait(0.0005):
            seen.append(runlock.owner(tmp_path))

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        runlock.acquire(tmp_path)
        runlock.release(tmp_path)
    over.set()
    for thread in threads:
        thread.join()
    assert set(seen) <= {None, 0, os.getpid()}


@pytest.mark.parametrize("kind", ["program", "fork"])
def test_a_child_that_outlives_its_owner_does_not_keep_the_directory(
    tmp_path: Path, kind: str
) -> None:
    born = {
        "program": "pid = subprocess.Popen(['sleep', '60'], close_fds=False).pid",
        "fork": "pid = os.fork()\nif pid == 0: time.sleep(60)",
    }
    script = (
        "import os, subprocess, time\nfrom pathlib import Path\nfrom mssr_rl.run import runlock\n"
        f"runlock.acquire(Path({str(tmp_path)!r}))\n{born[kind]}\nprint(pid, flush=True)\n"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        try:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert psutil.pid_exists(child)
            assert runlock.owner(tmp_path) is None
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_directory_whose_lock_is_deleted_in_between_is_not_owned_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def and_deleted(handle: int, folder: Path) -> bool:
        (folder / "lock").unlink()
        return True

    monkeypatch.setattr(runlock, "_lock", and_deleted)
    with pytest.raises(FileNotFoundError, match="deleted meanwhile"):
        runlock.acquire(tmp_path)


# ---- without ----


def test_where_there_are_no_locks_that_is_said_and_the_file_s_word_counts(
    tmp_path: Path, no_locks: None, capsys: pytest.CaptureFixture[str]
) -> None:
    runlock.acquire(tmp_path)
    said = capsys.readouterr().err
    assert (
        "its file system has no locks (No locks available); process id and heartbeat show" in said
    )
    assert runlock.owner(tmp_path) == os.getpid()
    with pytest.raises(UserError, match=f"in use by process {os.getpid()}; wait"):
        runlock.acquire(tmp_path)
    runlock.release(tmp_path)
    assert runlock.owner(tmp_path) is None


def test_without_locks_a_zombie_owns_nothing_either(tmp_path: Path, no_locks: None) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        write(tmp_path, pid=process.pid, started=psutil.Process(process.pid).create_time())
        assert runlock.owner(tmp_path) == process.pid
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert runlock.owner(tmp_path) is None


def test_without_locks_another_container_lives_while_its_heart_beats(
    tmp_path: Path, no_locks: None
) -> None:
    runlock.acquire(tmp_path)
    write(tmp_path, pid=1, started=0.0, pids="pid:[1]")
    (tmp_path / "heartbeat.json").touch()
    assert runlock.owner(tmp_path) == 1
    os.utime(tmp_path / "heartbeat.json", (0, time.time() - runlock.SILENCE - 1))
    assert runlock.owner(tmp_path) is None


def test_after_a_restart_of_the_machine_nobody_is_waited_for(tmp_path: Path) -> None:
    begun = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    write(tmp_path, pid=1, started=0.0, host=socket.gethostname(), boot="before", locked=True)
    os.utime(tmp_path / "lock", (0, begun - 5))
    assert runlock.owner(tmp_path) is None
    os.utime(tmp_path / "lock", (0, begun + 5))  # of another machine that has the same name
    assert runlock.owner(tmp_path) == 1
