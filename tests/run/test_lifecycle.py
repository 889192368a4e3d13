"""What may differ in a run that goes on, and what a start that fails leaves behind."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from mssr_rl.config import Config, compose
from mssr_rl.engine_protocol import Engine
from mssr_rl.errors import UserError
from mssr_rl.run import evaluate, lifecycle, sameness, scoring, trainer

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]
Start = Callable[[Config, MakeEngine], Path]


def test_a_run_may_go_on_at_another_cluster(configure: Configure) -> None:
    config = configure("name=run")
    lifecycle.open_log(config).close()
    moved = replace(config.cluster, address="ray://elsewhere:10001")
    again = replace(config, resume=True, cluster=moved)
    lifecycle.open_log(again).close()


class Closing:
    """An engine that remembers whether it was closed, and works or does not."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.closed = engine, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def close(self) -> None:
        self.closed += 1


def refuses(_: Config) -> Engine:
    raise UserError("no GPU")


def score(config: Config, make_engine: Callable[[Config], Engine]) -> Path:
    return evaluate.run([config], make_engine)


@pytest.mark.parametrize("start", [trainer.run, score])
def test_a_directory_that_cannot_be_had_is_known_before_an_engine_starts(
    configure: Configure, make_engine: MakeEngine, start: Start
) -> None:
    start(configure("name=run"), make_engine)

    def must_not(_: Config) -> Engine:
        raise AssertionError("an engine was started")

    with pytest.raises(UserError, match="exists already"):
        start(configure("name=run"), must_not)


@pytest.mark.parametrize("start", [trainer.run, score])
def test_a_start_that_fails_leaves_its_name_free(
    configure: Configure, make_engine: MakeEngine, start: Start
) -> None:
    config = configure("name=run")
    with pytest.raises(UserError, match="no GPU"):
        start(config, refuses)
    assert not (Path(config.runs_dir) / "run").exists()
    start(config, make_engine)


def test_a_resumed_run_keeps_everything_when_its_engine_does_not_start(
    configure: Configure, make_engine: MakeEngine
) -> None:
    folder = trainer.run(configure("name=run"), make_engine)
    (folder / "run.json").unlink()
    before = {path: path.read_bytes() for path in folder.glob("*.jsonl")}
    assert len(before) == 3
    with pytest.raises(UserError, match="no GPU"):
        trainer.run(configure("name=run", "resume=true"), refuses)
    assert before == {path: path.read_bytes() for path in folder.glob("*.jsonl")}


def test_a_run_that_goes_on_with_other_kernels_says_so(
    configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trainer.run(configure("name=run"), make_engine)
    trainer.run(configure("name=run", "resume=true"), make_engine)
    assert "other arithmetic" not in capsys.readouterr().err
    known = json.loads((folder / "run.json").read_text())
    known["machine"]["kernels"] = "torch's operations"
    (folder / "run.json").write_text(json.dumps(known))
    trainer.run(configure("name=run", "resume=true"), make_engine)
    said = " ".join(capsys.readouterr().err.split())
    assert "other arithmetic than before: was torch's operations; is" in said
    assert "the last digits of its numbers can differ" in said


def damage(folder: Path) -> None:
    for state in folder.glob("checkpoints/*/state.json"):
        state.write_bytes(b"")


def test_a_run_whose_checkpoints_are_all_damaged_is_not_begun_again_in_silence(
    configure: Configure, make_engine: MakeEngine, tmp_path: Path
) -> None:
    folder = trainer.run(configure("name=run"), make_engine)
    shutil.copytree(folder / "checkpoints", tmp_path / "backup")
    streams = {path: path.read_bytes() for path in folder.glob("*.jsonl")}
    damage(folder)
    again = configure("name=run", "resume=true")
    with pytest.raises(UserError, match=r"6 steps on record and no valid checkpoint .*: skipped "):
        trainer.run(again, make_engine)
    assert streams == {path: path.read_bytes() for path in folder.glob("*.jsonl")}
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(UserError, match=r"continue from: there is none in .*checkpoints\. Put"):
        trainer.run(again, make_engine)
    assert streams == {path: path.read_bytes() for path in folder.glob("*.jsonl")}
    # The ways out that the sentence gives are ways out.
    shutil.copytree(tmp_path / "backup", folder / "checkpoints")
    trainer.run(again, make_engine)
    damage(folder)
    for path in streams:
        path.unlink()
    trainer.run(again, make_engine)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 6


def test_steps_that_no_checkpoint_had_followed_are_done_again_and_that_is_said(
    configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("name=run", "checkpoint.every=0")
    folder = trainer.run(configure(*words), make_engine)
    before = sameness.rows(folder, "metrics")
    shutil.rmtree(folder / "checkpoints")  # as if it had been killed before its only save
    known = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**known, "saved": None}))
    trainer.run(configure(*words, "resume=true"), make_engine)
    said = " ".join(capsys.readouterr().err.split())
    assert "6 steps had no checkpoint yet and are done again: starting at step 0" in said
    assert sameness.rows(folder, "metrics") == before


def test_an_engine_is_closed_whatever_fails_after_its_start(
    configure: Configure, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Closing] = []

    def make(config: Config) -> Engine:
        made.append(Closing(make_engine(config)))
        return made[-1]  # type: ignore[return-value]

    def broken(*_: object) -> NoReturn:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        trainer.run(configure("name=a"), make, broken)
    monkeypatch.setattr(scoring, "evaluate", broken)
    for start in (trainer.run, score):
        with pytest.raises(OSError, match="gone"):
            start(configure(f"name={start.__name__}"), make)
    monkeypatch.undo()
    score(configure("name=b"), make)
    trainer.run(configure("name=c"), make)
    assert [engine.closed for engine in made] == [1] * 5


def test_a_run_records_what_the_user_changed_and_what_the_recipe_says() -> None:
    config = compose.load(
        ["algo=mssr", "algo.gamma=2.0", "env=vision_r1", "train.lr=3e-4", "seed=4"]
    )
    assert lifecycle.from_recipe(config) == {"algo.gamma": 0.4, "train.lr": 1e-4}
