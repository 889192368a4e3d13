"""The kill drill of scripts/, a smaller number of times; and that it notices a run that differs."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from mssr_rl.config import Config
from mssr_rl.engine.base import Engine
from mssr_rl.run import trainer

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]

DRILL = Path(__file__).parents[1] / "scripts" / "kill_drill.py"


@pytest.mark.slow
def test_runs_killed_at_random_moments_resume_to_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(DRILL), "kills=4", "seed=1", f"folder={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 resumed runs are the undisturbed one" in done.stdout


@pytest.fixture
def drill(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module, in which every life ends well and at once."""
    spec = importlib.util.spec_from_file_location("kill_drill", DRILL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "start", lambda *_: 0)
    monkeypatch.setattr(module, "wait", lambda _: 0)
    return module


def test_a_resumed_run_that_differs_in_one_number_fails_its_trial(
    drill: ModuleType, configure: Configure, make_engine: MakeEngine
) -> None:
    whole = trainer.run(configure("name=whole"), make_engine)
    folder = whole.parent
    shutil.copytree(whole, folder / "trial_0")
    assert drill.resume_and_compare(folder, "trial_0") == []
    metrics = folder / "trial_0" / "metrics.jsonl"
    lines = metrics.read_text().splitlines()
    row = json.loads(lines[3])
    lines[3] = json.dumps({**row, "reward/mean": row["reward/mean"] + 2**-40})
    metrics.write_text("\n".join(lines) + "\n")
    (found,) = drill.resume_and_compare(folder, "trial_0")
    assert found.startswith("metrics.jsonl differs at step 4: reward/mean is ")
    assert drill.verdict([drill.Kill("update", 3, in_save=True)], failures=1) == 1
