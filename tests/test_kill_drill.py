"""The kill drill of scripts/, a smaller number of times; and that it notices a run that differs."""

import subprocess
import sys
from pathlib import Path

import pytest

DRILL = Path(__file__).parents[1] / "scripts" / "kill_drill.py"


@pytest.mark.slow
def test_runs_killed_at_random_moments_resume_to_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(DRILL), "kills=4", "seed=1", f"folder={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 resumed runs are the undisturbed one" in done.stdout
