"""Two run directories are compared in everything but what a clock has to do with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.run import sameness

Change = Callable[[dict[str, Any]], None]


def state(folder: Path, change: Change = lambda _: None) -> Path:
    """A checkpoint folder that holds a state.json and little else."""
    folder.mkdir()
    document = {
        "format": 1,
        "step": 4,
        "position": 128,
        "kl_step": 0.01,
        "skipped": 0,
        "ledger": {
            "rollouts": 256,
            "evaluation_rollouts": 90,
            "seconds": 3.5,
            "seconds_by_phase": {"rollout": 3.5},
        },
        "scores": [{"step": 0, "accuracy": 0.25}, {"step": 4, "accuracy": 0.5}],
        "stream_sizes": {"metrics": 4096},
    }
    change(document)
    (folder / "state.json").write_text(json.dumps(document))
    return folder


def more_rollouts(document: dict[str, Any]) -> None:
    document["ledger"]["rollouts"] = 320


def another_score(document: dict[str, Any]) -> None:
    document["scores"][0]["accuracy"] = 0.5


def scored_at_the_end(document: dict[str, Any]) -> None:
    document["ledger"]["evaluation_rollouts"] = 60
    del document["scores"][1]


def slower(document: dict[str, Any]) -> None:
    document["ledger"]["seconds"] = 10.25
    document["ledger"]["seconds_by_phase"] = {"rollout": 10.25}
    document["stream_sizes"] = {"metrics": 4099}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (more_rollouts, "state.json: ledger.rollouts is 256 here and 320 there"),
        (another_score, "state.json: scores is"),
        (scored_at_the_end, "state.json: scores is"),
        (lambda document: document.update(position=64), "position is 128 here and 64 there"),
        (lambda document: document.update(extra=1), "extra is None here and 1 there"),
        (lambda document: document.pop("skipped"), "skipped is 0 here and None there"),
    ],
)
def test_a_state_that_differs_is_found(tmp_path: Path, change: Change, says: str) -> None:
    found = sameness.checkpoint_differences(state(tmp_path / "a"), state(tmp_path / "b", change))
    assert says in "\n".join(found)


def test_wall_time_makes_no_difference(tmp_path: Path) -> None:
    one, other = state(tmp_path / "a"), state(tmp_path / "b", slower)
    assert list(sameness.checkpoint_differences(one, other)) == []


def test_where_a_run_did_not_end_the_last_evaluation_may_be_missing(tmp_path: Path) -> None:
    one, other = state(tmp_path / "a"), state(tmp_path / "b", scored_at_the_end)
    assert list(sameness.checkpoint_differences(one, other, ended=False)) == []
    odd = state(tmp_path / "c", another_score)
    assert list(sameness.checkpoint_differences(one, odd, ended=False)) != []
