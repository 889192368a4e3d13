"""What is told of a process that died, and what it leaves behind; no cluster is started."""

import socket
import subprocess
import sys
import threading
import time
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest

from mssr_rl.config.compose import load
from mssr_rl.errors import UserError

pytest.importorskip("ray", reason="the cluster stage is not installed")

from mssr_rl.engine.openrlhf import session, shared_memory, worker_logs

pytestmark = pytest.mark.slow  # ray takes seconds to be imported

TOLD = "The actor died unexpectedly before finishing this task.\n\tpid: 4711\n\tip: 127.0.0.1"
TRACE = """INFO started
(EngineCore pid=4712) ERROR 12-01 12:00:00 [core.py:9] IndexError: list index out of range
(EngineCore pid=4712) Process EngineCore:
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(worker_logs, "folder", lambda: tmp_path)
    return tmp_path


def test_the_last_error_is_the_workers_own_not_one_that_repeats_it() -> None:
    assert worker_logs.last_error(TRACE) == "IndexError: list index out of range"
    assert worker_logs.last_error("Fatal Python error: Aborted\n") == "Fatal Python error: Aborted"
    assert worker_logs.last_error("all is well; no Error here") is None
    assert worker_logs.last_error("EngineDeadError: see above") is None


def test_the_error_and_the_path_of_the_log_stand_in_the_sentence(logs: Path) -> None:
    log = logs / "worker-ab-01000000-4711.err"
    log.write_text(TRACE)
    (logs / "worker-cd-01000000-4713.err").write_text("ValueError: of another process")
    told = worker_logs.cause(RuntimeError(TOLD))
    assert told == f": IndexError: list index out of range (its log is {log})"


def test_standard_output_is_read_where_standard_error_tells_nothing(logs: Path) -> None:
    (logs / "worker-ab-01000000-4711.err").write_text("")
    log = logs / "worker-ab-01000000-4711.out"
    log.write_bytes(b"\xff" * worker_logs.MOST + b"\nOSError: no space left\n")
    told = worker_logs.cause(RuntimeError(TOLD))
    assert told == f": OSError: no space left (its log is {log})"


def test_what_ray_itself_was_told_comes_first(logs: Path) -> None:
    error = RuntimeError(f"{TOLD}\nray::RolloutWorker.__init__()\nKeyError: 'visual.x'")
    assert worker_logs.cause(error) == f": KeyError: 'visual.x' (logs of its machine are in {logs})"


def test_a_process_that_says_nothing_is_told_of_so(logs: Path) -> None:
    where = f"(logs of its machine are in {logs})"
    assert worker_logs.cause(None) == f" without giving a reason {where}"


def test_a_block_of_shared_memory_that_a_killed_process_left_is_removed() -> None:
    code = (
        "import sys, time\n"
        "from multiprocessing import resource_tracker, shared_memory\n"
        "resource_tracker.register = lambda *_: None\n"
        "block = shared_memory.SharedMemory(create=True, size=4096)\n"
        "print(block.name, flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    name = child.stdout.readline().strip()
    block = f"{shared_memory.FOLDER}/{name}"
    try:
        assert block in shared_memory.held()
    finally:
        child.kill()
        child.wait()
    assert Path(block).exists()
    shared_memory.remove([block, block, "/dev/shm/psm_/../x", "/etc/hostname"])
    assert not Path(block).exists()
    assert Path("/etc/hostname").exists()


def test_a_block_that_is_removed_already_is_not_held() -> None:
    block = SharedMemory(create=True, size=4096)
    block.unlink()
    assert f"{shared_memory.FOLDER}/{block.name}" not in shared_memory.held()
    block.close()


@pytest.mark.parametrize("kind", ["closed", "silent", "web"])
def test_an_address_without_a_cluster_is_refused_within_seconds(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "ANSWER", 1.0)
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    address = f"127.0.0.1:{server.getsockname()[1]}"
    if kind != "closed":
        server.listen()
    if kind == "web":
        threading.Thread(target=_answer, args=(server,), daemon=True).start()
    config = load(["engine=openrlhf", f"cluster.address={address}"])
    began = time.monotonic()
    with pytest.raises(UserError, match=f"cluster.address={address}: no Ray cluster answers there"):
        session.connect(config)
    assert time.monotonic() - began < 5
    server.close()


def _answer(server: socket.socket) -> None:
    connection, _ = server.accept()
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    connection.close()


@pytest.mark.parametrize("address", ["auto", "local", "ray://head", "head:port"])
def test_an_address_in_another_form_is_left_to_ray(address: str) -> None:
    session._refuse_silence(address)
