"""`lens run=DIR`: the advantages a run trained on, and a page that shows them safely."""

import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from mssr_rl import cli
from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.lens.lens_page import shade
from mssr_rl.run import trainer

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]
ALGOS = "grpo,rloo,reinforce_pp,mvsr,mssr"


@pytest.fixture
def run(configure: Configure, make_engine: MakeEngine) -> Path:
    words = ("algo=mssr", "algo.gamma=2.0", "rollout.group_size=4", "lens.every=3", "eval.every=0")
    return trainer.run(configure(*words), make_engine)


def lens(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert cli.main(["lens", *words]) == 0, capsys.readouterr().err
    (line,) = capsys.readouterr().out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def test_batches_are_recorded_at_the_first_step_and_on_schedule(run: Path) -> None:
    names = {path.name for path in (run / "lens").iterdir()}
    steps = {f"step_{step}{ending}" for step in (1, 3, 6) for ending in (".jsonl", ".safetensors")}
    assert names == steps


@pytest.mark.parametrize("step", [1, 3, 6])
def test_the_numbers_are_those_the_run_trained_on(
    run: Path, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    trained_on = metrics[step - 1]
    found = lens(capsys, f"run={run}", f"step={step}")["metrics"]
    shared = [key for key in found if key in trained_on]
    assert {"critic/advantages/std", "tracker/eta", "shaping/bonus_mean"} <= set(shared)
    for key in shared:
        assert found[key] == pytest.approx(trained_on[key], abs=1e-6), key


def test_an_algorithm_with_the_same_memory_starts_from_the_runs(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lens(capsys, f"run={run}", "algo=mssr,mvsr,spo")
    assert found["mvsr"]["state"] == found["mssr"]["state"]
    assert found["mvsr"]["metrics"]["tracker/mean"] != 0.5
    assert found["spo"]["metrics"]["tracker/mean"] == 0.5
    page = (run / "lens.html").read_text()
    assert "mvsr starts from what the run remembered before this step" in page
    assert "spo keeps another kind of memory than the run did" in page


def test_the_page_shows_every_algorithm_token_by_token(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = lens(capsys, f"run={run}", f"algo={ALGOS}", "step=3")
    page = (run / "lens.html").read_text()
    tokens = sum(len(row) for row in found["grpo"]["advantage"])
    assert len(re.findall(r'<span class="(?:up\d|down\d|zero)" title=', page)) == tokens * 5
    first = found["rloo"]["advantage"][0][0]
    assert f'title="{first:+.4f}"' in page
    assert page.count("<article") == 64
    assert page.count('src="data:image/png;base64') == 64
    for name in ALGOS.split(","):
        assert f'<th scope="row">{name}</th>' in page


def test_the_page_is_offline_and_lets_nothing_run(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run / "lens" / "step_6.jsonl"
    record = json.loads(path.read_text())
    record["prompt"][0] = "<script>alert(1)</script>"
    record["response"][0] = '"><img src=x onerror=alert(2)>'
    record["extracted"][0] = "<b>bold</b>"
    record["images"][1] = ["../../../etc/passwd"]
    path.write_text(json.dumps(record))
    lens(capsys, f"run={run}")
    page = (run / "lens.html").read_text()
    assert "alert(1)" in page
    assert page.count("<script") == 1  # the page's own
    assert "<b>bold" not in page
    assert "<img src=x" not in page
    assert "default-src 'none'; img-src data:" in unescape(page)
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "style=" not in page


@pytest.mark.slow
def test_a_resumed_run_records_the_same_batch(
    configure: Configure, make_engine: MakeEngine
) -> None:
    words = ("algo=mssr", "lens.every=2", "checkpoint.every=1")
    whole = trainer.run(configure(*words, "name=whole"), make_engine)
    trainer.run(configure(*words, "name=half", "budget.rollouts=64"), make_engine)
    half = trainer.run(configure(*words, "name=half", "resume=true"), make_engine)
    for name in ("step_4.jsonl", "step_4.safetensors"):
        assert (whole / "lens" / name).read_bytes() == (half / "lens" / name).read_bytes()


def test_a_run_that_recorded_nothing_says_how_to(
    configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trainer.run(configure("lens.every=0", "budget.rollouts=64"), make_engine)
    assert not (folder / "lens").exists()
    assert cli.main(["lens", f"run={folder}"]) == cli.USAGE
    assert "training records some when lens.every is not 0" in capsys.readouterr().err


@pytest.mark.parametrize("asked", ["mssr,grpo", "grpo", "grpo,reinforce_pp"])
def test_an_algorithm_that_needs_groups_is_answered_with_a_command_that_works(
    asked: str, configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("algo=mssr", "eval.every=0", "budget.rollouts=64")
    folder = trainer.run(configure(*words), make_engine)
    assert cli.main(["lens", f"run={folder}", f"algo={asked}"]) == cli.USAGE
    said = capsys.readouterr().err
    assert "has 1 rollout per problem, and grpo needs 2 or more" in said
    command = said.rpartition("this works: ")[2].split()
    assert command[0] == "lens"
    assert len(lens(capsys, *command[1:])) == 2


def test_a_step_that_was_not_recorded_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["lens", f"run={run}", "step=2"]) == cli.USAGE
    assert "these were: 1, 3, 6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("advantage", "expected"),
    [(0.0, "zero"), (1e-9, "zero"), (0.1, "up1"), (2.0, "up4"), (-1.0, "down3"), (-2.0, "down4")],
)
def test_shades_are_of_the_largest_push(advantage: float, expected: str) -> None:
    assert shade(advantage, 2.0) == expected
