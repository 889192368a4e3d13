"""Environments that raise or hang, no memory, no disk: named, bounded, and nothing is lost."""

import json
import os
import resource
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.envs.environment import ProblemEnv
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.run import checkpoint, mishaps, sameness, trainer
from mssr_rl.run.interrupt import Interrupted
from mssr_rl.run.stalls import Stalled

pytestmark = pytest.mark.slow

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]


def folder_of(configure: Configure, name: str = "run") -> Path:
    return Path(configure().runs_dir) / name


def at_train_step(step: int, act: Callable[[], object]) -> Callable[..., Any]:
    """`ProblemEnv.grade` that does something else in one training step."""
    sound, calls = ProblemEnv.grade, [0]

    def grade(self: ProblemEnv, rows: Any, responses: Any) -> Any:
        calls[0] += self.split == "train"
        if self.split == "train" and calls[0] == step:
            act()
        return sound(self, rows, responses)

    return grade


def resumed_is_whole(configure: Configure, make_engine: MakeEngine) -> None:
    """Once the mishap is over, the run goes on as if it had not been."""
    whole = trainer.run(configure("name=whole"), make_engine)
    run = trainer.run(configure("name=run", "resume=true"), make_engine)
    assert list(sameness.stream_differences(whole, run)) == []
    ends = (folder / "checkpoints" / "step_6" for folder in (whole, run))
    assert list(sameness.checkpoint_differences(*ends)) == []


# ---- a deleted folder ----


def test_a_run_whose_folder_is_deleted_ends_in_a_sentence(
    configure: Configure, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ProblemEnv, "grade", at_train_step(2, lambda: shutil.rmtree(folder_of(configure)))
    )
    with pytest.raises(RunFailed, match="was deleted or moved while its run was going on"):
        trainer.run(configure("name=run"), make_engine)


# ---- environments ----


def test_an_environment_that_raises_is_named_and_the_steps_before_are_saved(
    configure: Configure, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_it() -> None:
        raise ZeroDivisionError("of mine")

    with monkeypatch.context() as patch:
        patch.setattr(ProblemEnv, "grade", at_train_step(4, raise_it))
        with pytest.raises(
            RunFailed, match=r"vision_r1 raised .*ZeroDivisionError: of mine \(.*py"
        ):
            trainer.run(configure("name=run"), make_engine)
    folder = folder_of(configure)
    assert (folder / "checkpoints" / "step_3").is_dir()
    assert "ZeroDivisionError: of mine" in (folder / "traceback.txt").read_text()
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"
    resumed_is_whole(configure, make_engine)
    assert not (folder / "traceback.txt").exists()


def test_an_environment_that_hangs_is_shown_stopped_and_saved(
    configure: Configure, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("name=run", "fault.stall_seconds=0.5", "fault.stop_seconds=1")
    begun = time.monotonic()
    with monkeypatch.context() as patch:
        patch.setattr(ProblemEnv, "grade", at_train_step(4, lambda: time.sleep(600)))
        with pytest.raises(Stalled, match=r"phase reward after step 3 did not end within .*=1;"):
            trainer.run(configure(*words), make_engine)
    assert time.monotonic() - begun < 60
    stacks = (folder_of(configure) / "stacks.txt").read_text()
    assert "the phase reward after step 3 has lasted" in stacks
    assert f'File "{__file__}"' in stacks  # where it hung
    assert (folder_of(configure) / "checkpoints" / "step_3").is_dir()
    resumed_is_whole(configure, make_engine)


# ---- memory ----


def test_no_memory_names_the_phase_and_what_to_make_smaller(
    configure: Configure, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Greedy:
        def __init__(self, inner: Engine) -> None:
            self.inner, self.updates = inner, 0

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def update(self, *args: Any) -> object:
            self.updates += 1
            if self.updates == 4:
                torch.empty(1 << 52)
            return self.inner.update(*args)

    says = (
        r"out of memory in the phase update: .*; a smaller train\.micro_batch \(now 32\), rollout"
    )
    with pytest.raises(RunFailed, match=says):
        trainer.run(configure("name=run"), lambda config: Greedy(make_engine(config)))  # type: ignore[arg-type,return-value]
    assert not (folder_of(configure) / "checkpoints" / "step_3").exists()  # the policy was at work
    resumed_is_whole(configure, make_engine)


@pytest.mark.parametrize("phase", mishaps.SMALLER)
def test_every_phase_has_its_advice(configure: Configure, phase: str) -> None:
    said = str(mishaps.in_words(MemoryError(), phase, configure()))
    assert said.startswith(f"out of memory in the phase {phase}: MemoryError; a smaller ")


def test_a_bug_is_not_put_into_other_words(configure: Configure) -> None:
    assert mishaps.in_words(RuntimeError("a bug"), "update", configure()) is None
    assert mishaps.in_words(KeyError("a bug"), "update", configure()) is None


# ---- disk ----


def test_a_disk_that_is_full_ends_the_run_in_a_sentence_and_it_resumes(
    configure: Configure, make_engine: MakeEngine
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Filling:
        """From the fourth step on, no file can grow beyond the size metrics.jsonl has."""

        def __init__(self, inner: Engine) -> None:
            self.inner, self.updates = inner, 0

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def update(self, *args: Any) -> object:
            self.updates += 1
            if self.updates == 4:
                size = (folder_of(configure) / "metrics.jsonl").stat().st_size
                resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, limits[1]))
            return self.inner.update(*args)

    try:
        with pytest.raises(RunFailed, match=r"writing failed .*checkpoints are intact: free space"):
            trainer.run(configure("name=run"), lambda config: Filling(make_engine(config)))  # type: ignore[arg-type,return-value]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    resumed_is_whole(configure, make_engine)


# ---- signals ----


@pytest.mark.parametrize("phase", ["evaluate", "rollout", "reward", "logprob", "update"])
def test_sigterm_in_any_phase_saves_and_the_run_resumes_bit_for_bit(
    configure: Configure, make_engine: MakeEngine, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered = trainer.Session._enter

    def enter(self: trainer.Session, name: str) -> None:
        entered(self, name)
        if name == phase and self.state.step == (3 if phase == "evaluate" else 2):
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Session, "_enter", enter)
        with pytest.raises(Interrupted, match="SIGTERM"):
            trainer.run(configure("name=run"), make_engine)
    folder = folder_of(configure)
    status = json.loads((folder / "run.json").read_text())["status"]
    assert status == "interrupted"
    assert checkpoint.newest_valid(folder / "checkpoints").folder is not None
    assert not (folder / "traceback.txt").exists()
    resumed_is_whole(configure, make_engine)


# ---- data ----


def test_a_run_does_not_go_on_with_other_problems(
    configure: Configure, make_engine: MakeEngine, tmp_path: Path, counting_data: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for path in counting_data.iterdir():
        (data / path.name).write_bytes(path.read_bytes())
    words = (f"env.data={data}", "name=run")
    trainer.run(configure(*words, "budget.rollouts=128"), make_engine)
    lines = (data / "train.jsonl").read_text()
    (data / "train.jsonl").write_text(lines.replace('"answer": "1"', '"answer": "2"'))
    with pytest.raises(UserError, match=r"what env\.data names has changed in train"):
        trainer.run(configure(*words, "resume=true"), make_engine)
    (data / "train.jsonl").unlink()
    (data / "val.jsonl").unlink()
    with pytest.raises(UserError, match="no train split"):
        trainer.run(configure(*words, "resume=true"), make_engine)
    (data / "train.jsonl").write_text(lines)
    (data / "val.jsonl").write_bytes((counting_data / "val.jsonl").read_bytes())
    folder = trainer.run(configure(*words, "resume=true"), make_engine)
    assert len((folder / "metrics.jsonl").read_text().splitlines()) == 6
