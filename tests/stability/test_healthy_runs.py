"""No detector fires on healthy runs of the shipped model: recorded ones here, a live one in `slow`.

healthy.jsonl is made by record_healthy.py, which says what it holds.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mssr_rl import cli
from mssr_rl.stability.limits import Limits
from mssr_rl.stability.stability_card import scorecard
from mssr_rl.stability.trace import EvaluationPoint, RecordedResponse, Trace

RECORDED = Path(__file__).with_name("healthy.jsonl")
LINES = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]


def trace(run: dict[str, Any]) -> Trace:
    rows = [
        {"step": step, **dict(zip(run["keys"], values, strict=True))}
        for step, values in enumerate(run["metrics"], start=1)
    ]
    marks = tuple(EvaluationPoint(*mark) for mark in run["marks"])
    return Trace(run["planned"], rows, marks, tuple(RecordedResponse(*r) for r in run["responses"]))


def test_at_least_twenty_real_runs_of_five_algorithms_are_recorded() -> None:
    runs = Counter(run["algo"] for run in LINES)
    assert set(runs) >= {"grpo", "rloo", "reinforce_pp", "mvsr", "mssr"}
    assert sum(runs.values()) >= 20
    assert all(len(run["metrics"]) >= 20 for run in LINES)


@pytest.mark.parametrize(
    "run", LINES, ids=lambda run: f"{run['algo']}-{run['seed']}-{run['planned']}"
)
def test_a_healthy_run_has_no_event(run: dict[str, Any]) -> None:
    assert scorecard(trace(run), Limits()).events == ()


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["grpo", "mvsr"])
def test_a_run_made_now_is_healthy_too(algo: str, tmp_path: Path) -> None:
    words = ["env=vision_r1", f"algo={algo}", "seed=11", "engine.threads=1", "eval.limit=32"]
    sizes = ["train.rollouts_per_step=32", "train.samples_per_update=16", "train.micro_batch=16"]
    length = ["budget.rollouts=384", "eval.every=6", "eval.samples=1", "checkpoint.every=0"]
    folders = [f"runs_dir={tmp_path}", "name=run"]
    assert cli.main(["train", *words, *sizes, *length, *folders]) == cli.DONE
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["stability"]["verdict"], summary["stability"]["events"]) == ("stable", [])
