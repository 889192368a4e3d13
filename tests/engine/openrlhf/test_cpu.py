"""What the hooks of CPU mode do to processes, on real ones."""

import subprocess
import sys
import time

import psutil
import pytest

ORPHAN = """
import os, time
from types import SimpleNamespace
from mssr_rl.engine.openrlhf import cpu

class WorkerProc:
    @staticmethod
    def worker_main():
        print(os.getpid(), flush=True)
        time.sleep(120)

{hook}
if os.fork() == 0:
    WorkerProc.worker_main()
time.sleep(120)
"""


@pytest.mark.slow
@pytest.mark.parametrize("hooked", [True, False])
def test_a_worker_ends_when_its_parent_is_killed(hooked: bool) -> None:
    hook = "cpu.end_worker_with_parent(SimpleNamespace(WorkerProc=WorkerProc))" if hooked else ""
    script = ORPHAN.format(hook=hook)
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    try:
        worker = psutil.Process(int(parent.stdout.readline()))
    finally:
        parent.kill()
        parent.wait()
    limit = time.monotonic() + (20 if hooked else 4)
    while (alive := running(worker)) and time.monotonic() < limit:
        time.sleep(0.1)
    if alive:
        worker.kill()
    assert alive != hooked


def running(process: psutil.Process) -> bool:
    """One that nobody has asked for its end has ended too."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
