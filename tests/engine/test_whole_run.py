"""The command line, the shipped model and the local engine together: a whole run, for real."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from mssr_rl import cli
from mssr_rl.run import sameness, scoring

WORDS = [
    "env=vision_r1",
    "engine.threads=1",
    "train.rollouts_per_step=16",
    "train.samples_per_update=8",
    "train.micro_batch=8",
    "eval.limit=4",
    "eval.samples=2",
    "eval.every=2",
]


def run(folder: Path, name: str, *words: str) -> Path:
    assert cli.main(["train", *WORDS, *words, f"runs_dir={folder}", f"name={name}"]) == 0
    return folder / name


def steps(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    timed = ("timing_s/", "budget/seconds")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows]


def policy(folder: Path, step: int) -> bytes:
    return (folder / f"checkpoints/step_{step}/policy/model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["grpo", "rloo", "reinforce_pp", "mvsr", "mssr"])
def test_every_algorithm_trains_the_shipped_model_and_leaves_a_report(
    algo: str, tmp_path: Path
) -> None:
    folder = run(tmp_path, "a", f"algo={algo}", "budget.rollouts=32")
    assert [row["step"] for row in steps(folder)] == [1, 2]
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    assert "</html>" in (folder / "report.html").read_text()
    assert policy(folder, 2)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["dapo", "spo algo.n_init=1", "mssr_released", "mvsr_cross_modal"])
def test_what_an_algorithm_asks_of_the_trainer_works_on_the_shipped_model(
    algo: str, tmp_path: Path
) -> None:
    name, *options = algo.split()
    folder = run(tmp_path, "a", f"algo={name}", *options, "env.limit=16", "budget.rollouts=48")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "done"
    assert summary["ledger"]["initial_rollouts"] == (16 if name in ("spo", "mssr_released") else 0)
    assert 32 < summary["ledger"]["rollouts"] <= 48


@pytest.mark.slow
def test_the_same_seed_gives_the_same_run_and_a_resumed_one_too(tmp_path: Path) -> None:
    words = ("algo=mssr", "checkpoint.every=1")
    whole = run(tmp_path, "whole", *words, "budget.rollouts=48")
    again = run(tmp_path, "again", *words, "budget.rollouts=48")
    other = run(tmp_path, "other", *words, "budget.rollouts=48", "seed=1")
    half = run(tmp_path, "half", *words, "budget.rollouts=16")
    run(tmp_path, "half", *words, "budget.rollouts=48", "resume=true")
    assert steps(whole) == steps(again) == steps(half)
    assert steps(whole) != steps(other)
    assert policy(whole, 3) == policy(again, 3) == policy(half, 3)
    assert cli.main(["resume", f"verify={half}"]) == 0


@pytest.mark.slow
def test_a_run_stopped_in_its_first_evaluation_goes_on_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = scoring.evaluate

    def stopped(*parts: Any) -> scoring.Evaluation:
        os.kill(os.getpid(), signal.SIGINT)
        return evaluate(*parts)

    words = ("algo=mssr", "budget.rollouts=16")
    whole = run(tmp_path, "whole", *words)
    monkeypatch.setattr(scoring, "evaluate", stopped)
    begun = [*WORDS, *words, f"runs_dir={tmp_path}", "name=half"]
    assert cli.main(["train", *begun]) == cli.INTERRUPTED
    monkeypatch.undo()
    assert (tmp_path / "half" / "checkpoints" / "step_0").is_dir()
    half = run(tmp_path, "half", "resume=true")
    assert list(sameness.stream_differences(whole, half)) == []
    assert policy(whole, 1) == policy(half, 1)
