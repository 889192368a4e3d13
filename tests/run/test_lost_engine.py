"""A run whose engine dies goes on from its newest checkpoint, and is the same run."""

import json
from pathlib import Path
from typing import Any

import pytest

from mssr_rl.errors import EngineLost
from mssr_rl.run.trainer import run


class Dying:
    """A working engine that is lost at a given rollout."""

    def __init__(self, engine: Any, dies_at: int) -> None:
        self.engine, self.left, self.closed = engine, dies_at, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def rollout(self, *rest: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise EngineLost("vLLM engine 1 died")
        return self.engine.rollout(*rest)

    def close(self) -> None:
        self.closed = True


def steps(folder: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    timed = ("timing_s/", "budget/seconds")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows]


@pytest.fixture
def openrlhf(configure):
    """A config whose faults may be set; the engine itself is the test's."""
    return lambda *words: configure("engine=openrlhf", "checkpoint.every=1", *words)


def test_a_lost_engine_costs_the_step_it_died_in_and_nothing_else(
    openrlhf, make_engine, capsys
) -> None:
    calm = run(openrlhf("name=calm"), make_engine)
    hired: list[Dying] = []

    def hire(config: Any) -> Dying:
        hired.append(Dying(make_engine(config), 6 if len(hired) < 2 else 0))
        return hired[-1]

    struck = run(openrlhf("name=struck"), hire)
    assert len(hired) == 3
    assert all(engine.closed for engine in hired)
    assert steps(struck) == steps(calm)
    said = capsys.readouterr().err
    assert "vLLM engine 1 died; restart 1 of 2" in said
    assert "restart 2 of 2" in said
    assert json.loads((struck / "run.json").read_text())["status"] == "done"


def test_the_last_restart_having_failed_the_run_ends_and_says_how_to_go_on(
    openrlhf, make_engine
) -> None:
    config = openrlhf("name=lost", "fault.retries=1")
    with pytest.raises(EngineLost, match=r"1 restarts were made; resume=true name=lost"):
        run(config, lambda c: Dying(make_engine(c), 4))
    document = json.loads((Path(config.runs_dir) / "lost" / "run.json").read_text())
    assert document["status"] == "failed"
    assert "vLLM engine 1 died" in document["exit_reason"]
