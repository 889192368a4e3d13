"""A policy that collapses while it trains: the run stops with exit code 3, unless told not to."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mssr_rl import cli
from mssr_rl.config import Config
from mssr_rl.config.compose import load
from mssr_rl.engine_protocol import Engine, UpdateStats
from mssr_rl.errors import Collapsed
from mssr_rl.run import checkpoint, trainer

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]
WORDS = ("budget.rollouts=1280", "eval.every=0", "algo=reinforce_pp", "name=run")  # 20 steps
WRECKED_AT = 7  # steps; from the next one on no response holds an answer


@pytest.fixture
def make_wrecked(make_engine: MakeEngine) -> MakeEngine:
    """An engine whose policy falls silent in the seventh step."""

    def make(config: Config) -> Engine:
        engine: Any = make_engine(config)
        update, done = engine.update, [0]

        def wreck(*args: Any) -> UpdateStats:
            stats: UpdateStats = update(*args)
            done[0] += 1
            if done[0] == WRECKED_AT:
                with torch.no_grad():
                    engine.logits[:, 0, -1] = 99.0  # an end as the first token
            return stats

        engine.update = wreck
        return engine  # type: ignore[no-any-return]

    return make


def document(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text())


def steps(folder: Path) -> int:
    return len((folder / "metrics.jsonl").read_text().splitlines())


def test_a_collapse_stops_the_run_saved_and_with_the_way_to_go_on(
    configure: Configure, make_wrecked: MakeEngine
) -> None:
    says = r"answer_collapse at step 12: 100% of the rollouts have no readable answer, against \d+%"
    with pytest.raises(Collapsed, match=says) as stopped:
        trainer.run(configure(*WORDS), make_wrecked)
    folder = Path(configure().runs_dir) / "run"
    assert steps(folder) == 12
    newest = checkpoint.newest_valid(folder / "checkpoints").folder
    assert newest is not None
    assert newest.name == "step_12"
    stability = document(folder, "summary")["stability"]
    assert stability["verdict"] == "collapsed"
    assert "answer_collapse" in [event["event"] for event in stability["events"]]
    assert document(folder, "run")["status"] == "collapsed"
    way_on = re.search(r"; (resume=true .*) trains on all the same$", str(stopped.value))
    assert way_on is not None
    with pytest.raises(Collapsed, match=r"answer_collapse at step 12: .*; the budget is spent"):
        trainer.run(load(way_on[1].split()), make_wrecked)
    assert steps(folder) == 20


@pytest.mark.slow
def test_told_to_go_on_a_collapsed_run_spends_its_budget_and_is_still_collapsed(
    configure: Configure, make_wrecked: MakeEngine
) -> None:
    with pytest.raises(Collapsed, match="the budget is spent"):
        trainer.run(configure(*WORDS, "stability.stop=non_finite"), make_wrecked)
    folder = Path(configure().runs_dir) / "run"
    summary = document(folder, "summary")
    assert steps(folder) == 20
    assert summary["final"]["test"]["accuracy"] == 0.0
    assert (summary["status"], summary["stability"]["verdict"]) == ("collapsed", "collapsed")


def test_a_threshold_is_an_option(configure: Configure, make_wrecked: MakeEngine) -> None:
    words = ("stability.no_answer_rise=1", "stability.accuracy_drop=1")
    trainer.run(configure(*WORDS, *words), make_wrecked)
    folder = Path(configure().runs_dir) / "run"
    assert document(folder, "summary")["stability"]["verdict"] == "warned"
    assert document(folder, "run")["status"] == "done"


def test_a_collapse_is_exit_code_3(
    configure: Configure, make_wrecked: MakeEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("mssr_rl.engine.make_engine", make_wrecked)
    data = configure().env.options["data"]
    words = ["env=vision_r1", f"env.data={data}", f"model.path={data}", f"runs_dir={tmp_path}"]
    sizes = ["train.rollouts_per_step=64", "train.samples_per_update=16", "train.lr=0.05"]
    assert cli.main(["train", *words, *sizes, *WORDS, "checkpoint.every=0"]) == cli.COLLAPSED


def test_a_healthy_run_is_stable_and_its_card_is_written(
    configure: Configure, make_engine: MakeEngine
) -> None:
    folder = trainer.run(configure("name=run", "train.lr=0.01"), make_engine)
    assert document(folder, "summary")["stability"] == {
        "verdict": "stable",
        "events": [],
        "worst_dip": 0.0,
    }
