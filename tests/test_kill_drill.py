"""The kill drill of scripts/, a smaller number of times; and that it notices a run that differs."""

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.run import trainer

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]

DRILL = Path(__file__).parents[1] / "scripts" / "kill_drill.py"


@pytest.mark.slow
def test_runs_killed_or_stopped_at_random_moments_resume_to_the_same_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(DRILL), "kills=4", "stops=8", "seed=1", f"folder={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 resumed runs are the undisturbed one" in done.stdout
    assert "8 of 8 stopped runs are the undisturbed one once resumed" in done.stdout


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


def test_the_trials_go_through_every_pair_of_signal_and_phase(drill: ModuleType) -> None:
    signals, phases = drill.SIGNALS, drill.PHASES
    count = len(signals) * len(phases)
    pairs = {(signals[n % len(signals)], phases[n % len(phases)]) for n in range(count)}
    assert len(pairs) == count == 56


SAVED = "ended by SIGTERM after step 3, which is saved; BACK continues"


@pytest.mark.parametrize(
    ("told", "wrong"),
    [
        ((0, "interrupted", SAVED), ""),
        ((1, "interrupted", SAVED), "exit code 1 where"),
        ((0, "running", SAVED), "its status is died"),
        ((0, "interrupted", "ended by SIGTERM after step 3"), "no sentence says"),
        ((0, "interrupted", f"Traceback\n{SAVED}"), "a traceback"),
    ],
)
def test_a_stop_that_is_not_told_as_it_was_fails_its_trial(
    drill: ModuleType, tmp_path: Path, told: tuple[int, str, str], wrong: str
) -> None:
    code, status, said = told
    back = f"resume=true name=run runs_dir='{tmp_path}'"
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({"status": status}))
    stop = drill.Stop(tmp_path, "run", signal.SIGTERM, "update")
    found = list(drill.untruths(stop, code, said.replace("BACK", back)))
    assert [text for text in found if wrong not in text] == []
    assert bool(found) == bool(wrong)
    assert drill.way_back(f"x; {back} continues\n")[2] == f"runs_dir={tmp_path}"


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
