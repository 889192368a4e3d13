"""The Python interface: `mssr_rl.train`, `mssr_rl.compare`, `mssr_rl.load` and their tables."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import mssr_rl
from mssr_rl import api
from mssr_rl.errors import UserError

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "tests" / "comparison" / "recorded_0_1" / "two_arms.tar.xz"


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("recorded")
    with tarfile.open(RECORDED) as archive:
        archive.extractall(place, filter="data")
    return place / "two_arms"


@pytest.mark.parametrize(
    ("settings", "sweeps", "words"),
    [
        ({"algo": "mssr", "seed": 3}, False, ["algo=mssr", "seed=3"]),
        ({"budget": {"rollouts": 512}}, False, ["budget.rollouts=512"]),
        ({"budget.rollouts": 512}, False, ["budget.rollouts=512"]),
        ({"resume": True, "name": None}, False, ["resume=true", "name=null"]),
        ({"log": ["wandb", "mlflow"]}, False, ["log=[wandb,mlflow]"]),
        (
            {"log": ["wandb"], "train": {"lr": [1e-4, 0.5]}},
            True,
            ["log=[wandb]", "train.lr=0.0001,0.5"],
        ),
    ],
)
def test_settings_become_the_words_of_the_command_line(
    settings: dict[str, Any], sweeps: bool, words: list[str]
) -> None:
    assert api._words(settings, sweeps=sweeps) == words


def test_a_wrong_setting_is_the_error_of_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no algorithm 'mssrr'; did you mean 'mssr'"):
        mssr_rl.train(algo="mssrr")
    with pytest.raises(UserError, match="which should it be compared with"):
        mssr_rl.compare(["mssr"], env="vision_r1")
    with pytest.raises(UserError, match="is not a run directory; no run is in runs"):
        mssr_rl.load("runs/frist")
    assert list(tmp_path.iterdir()) == []


def test_a_comparison_is_read_as_tables(compared: Path) -> None:
    found = mssr_rl.load(compared)
    assert isinstance(found, api.FinishedComparison)
    assert set(found.leaderboard["arm"]) == {"grpo", "mssr"}
    assert found.leaderboard["accuracy.value"].between(0, 1).all()
    assert len(found.verdicts) == 1
    assert len(found.runs) == 4


def test_a_run_is_read_as_tables(compared: Path) -> None:
    run = mssr_rl.load(compared / "runs" / "vision_r1-mssr-s0")
    assert isinstance(run, api.FinishedRun)
    assert run.summary["algo"] == "mssr"
    assert run.metrics["step"].is_monotonic_increasing
    assert {"reward/mean", "actor/entropy"} <= set(run.metrics)
    scored = run.evaluations.query("split == 'test'").iloc[-1]
    answers = run.answers.query("split == 'test'")
    assert answers["right"].mean() == pytest.approx(scored["accuracy"])


def test_tables_without_pandas_say_what_to_install(
    compared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="need pandas: pip install pandas"):
        _ = api.FinishedRun(compared / "runs" / "vision_r1-mssr-s0").metrics


def test_the_import_loads_neither_torch_nor_pandas() -> None:
    script = "import mssr_rl, sys; print('torch' in sys.modules, 'pandas' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.slow
def test_the_program_of_the_document_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", source, re.DOTALL)
    assert len(blocks) >= 2
    program = "\n".join(blocks)
    assert "mssr_rl.train(" in program
    # The same program with a hundredth of the work.
    small = (
        '"rollouts": 64}, recipe="quick", eval={"limit": 16}, '
        'train={"rollouts_per_step": 32, "samples_per_update": 16}'
    )
    exec(compile(program.replace('"rollouts": 512}', small), "docs/python.md", "exec"), {})
