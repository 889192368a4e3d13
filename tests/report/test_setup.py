"""setup: what was run, how it stands, what it cost."""

from pathlib import Path
from typing import Any

import pytest

from mssr_rl.report.runfiles import Row, RunFiles
from mssr_rl.report.setup import describe, settings, status

CONFIG = "algo:\n  name: mssr\n  gamma: 2.0\nmodel:\n  path: tiny\nseed: 3\ntrain:\n  beta1: 0.9\n"


def run(status: str = "running", summary: Row | None = None, **more: Any) -> RunFiles:
    usual: dict[str, Any] = {
        "folder": Path("r"),
        "config_text": CONFIG,
        "run": {"status": status, "steps": 120, "versions": {"torch": "2.13.0", "scipy": None}},
        "metrics": ({"step": 57, "budget/rollouts": 900, "timing_s/rollout": 2.0},),
        "evaluations": (),
        "samples": (),
        "summary": summary or {},
        "skipped": (),
    }
    return RunFiles(**{**usual, **more})


@pytest.mark.parametrize(
    ("known", "summary", "said"),
    [
        (
            "running",
            {},
            "unfinished: still running, or stopped without a message, at step 57 of 120",
        ),
        ("done", {"exit_reason": "the budget is spent"}, "finished at step 57 of 120: the budget"),
        ("collapsed", {}, "stopped: training collapsed at step 57 of 120"),
        ("interrupted", {}, "stopped early at step 57"),
        ("failed", {}, "failed at step 57"),
        ("resting", {}, "ended at step 57"),
    ],
)
def test_the_status_is_said_in_words(known: str, summary: Row, said: str) -> None:
    assert status(run(known, summary)).startswith(said)


def test_the_title_and_the_essential_settings_come_from_the_config() -> None:
    found = describe(run())
    assert (found.title["algo"], found.title["model"], found.title["seed"]) == ("mssr", "tiny", "3")
    names = [fact.name for fact in found.settings]
    assert "algo.gamma" in names
    assert "train.beta1" not in names


def test_versions_that_are_not_installed_are_left_out() -> None:
    names = [fact.name for fact in describe(run()).origin]
    assert names == ["steps", "versions.torch"]


def test_an_unfinished_run_takes_its_ledger_and_phases_from_the_metrics() -> None:
    found = describe(run())
    assert [tuple(fact) for fact in found.ledger] == [("rollouts", 900)]
    assert [(p.name, p.seconds, p.share) for p in found.phases] == [("rollout", 2.0, 1.0)]


def test_a_finished_run_takes_them_from_its_summary() -> None:
    ledger = {
        "seconds": 468.0,
        "gpu_seconds": 0.0,
        "seconds_by_phase": {"update": 1.0, "rollout": 3.0},
    }
    found = describe(run("done", {"ledger": ledger}))
    assert [fact.name for fact in found.ledger] == ["charged time", "gpu time"]
    assert [(p.name, p.share) for p in found.phases] == [("rollout", 0.75), ("update", 0.25)]


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "seed: ${nothing}"])
def test_an_odd_config_is_no_obstacle(text: str) -> None:
    assert describe(run(config_text=text)).title["algo"] == "–"


def test_rows_that_were_left_out_and_rows_in_two_splits_are_told() -> None:
    known = {
        "status": "done",
        "data": {"train": {"problems": 97, "left_out": 3}, "val": {"problems": 20}},
        "overlap": [
            {"split": "val", "with": "train", "rows": 4, "of": 20, "stands_in": False},
            {"split": "test", "with": "val", "rows": 0, "of": 20, "stands_in": True},
            "no finding",
        ],
    }
    found = describe(run(run=known))
    assert ("rows of train left out", 3) in found.ledger
    told = {fact.name: fact.value for fact in found.origin}
    assert told["val in train"] == "4 of 20 rows"
    assert told["test in val"] == "all of 20 rows"
    assert "overlap" not in told


def test_settings_that_differ_from_the_recipe_come_first_and_are_marked() -> None:
    config = {"algo.name": "x", "train.lr": 2e-4, "lens.every": 5, "env.name": "y"}
    found = settings(config, {"train.lr": 1e-4, "lens.every": 30})
    assert [(one.name, one.changed, one.usual) for one in found] == [
        ("train.lr", True, 1e-4),
        ("lens.every", True, 30),
        ("algo.name", False, None),
        ("env.name", False, None),
    ]
    assert not any(one.changed for one in settings(config, None))
