"""A whole run on a disk that is too small, and in a folder that cannot be written: for real."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = (
    "env=vision_r1 env.limit=64 engine.threads=1 train.rollouts_per_step=16"
    " train.samples_per_update=8 eval.limit=4 eval.samples=2 checkpoint.every=1"
    " budget.rollouts=48 name=run"
)
PYTHON = f"PYTHONPATH={ROOT} {sys.executable} -m mssr_rl train"


def can_mount() -> bool:
    return subprocess.run(["unshare", "-rm", "true"], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="needs a mount namespace of its own")
def test_a_run_that_fills_its_disk_says_so_keeps_what_it_has_and_resumes(tmp_path: Path) -> None:
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    script = f"""
        mount -t tmpfs -o size=20m tmpfs {disk}
        {PYTHON} {WORDS} runs_dir={disk}; echo "first $?"
        ls {disk}/run/checkpoints
        mount -o remount,size=200m {disk}
        {PYTHON} name=run resume=true runs_dir={disk}; echo "second $?"
        cp {disk}/run/metrics.jsonl {out}
    """
    command = ["unshare", "-rm", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "first 1\nstep_1\n" in done.stdout, done.stdout + done.stderr
    assert "the checkpoint of step 2 could not be written" in done.stderr
    assert "MB are free" in done.stderr
    assert "earlier checkpoints are intact: free some space, then add resume=true" in done.stderr
    assert "Traceback" not in done.stderr
    assert "second 0" in done.stdout
    assert [json.loads(line)["step"] for line in out.read_text().splitlines()] == [1, 2, 3]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_a_folder_of_somebody_else_is_refused_in_a_sentence(tmp_path: Path) -> None:
    script = f"""
import os
from pathlib import Path
from mssr_rl import cli
from mssr_rl.run import runlog
os.setuid(65534)
runlog.create(Path({str(tmp_path)!r}), "run")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert "mssr_rl.errors.UserError: the run directory" in done.stderr
    assert "Permission denied; choose another runs_dir=" in done.stderr
