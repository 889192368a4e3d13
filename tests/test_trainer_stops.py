"""A run that stops: it saves, goes on where it stopped, bit for bit, and says why it ended."""

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from mssr_rl.config import Config
from mssr_rl.config.compose import load
from mssr_rl.engine_protocol import Engine, Rollouts, UpdatePlan, UpdateStats
from mssr_rl.errors import Collapsed, EngineLost, UserError
from mssr_rl.report import run_page
from mssr_rl.run import checkpoint, evaluate, runlock, sameness, scoring, trainer, verify_resume
from mssr_rl.run.interrupt import SIGNALS, Interrupted

pytestmark = pytest.mark.slow

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]

ALGORITHMS = ["grpo", "rloo", "reinforce_pp", "mvsr", "mssr"]


def rows(folder: Path, stream: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{stream}.jsonl").read_text().splitlines()]


def without_seconds(folder: Path, stream: str) -> str:
    """The stream as text, wall time left out."""
    kept = [
        {k: v for k, v in row.items() if not k.startswith("timing_s/") and k != "budget/seconds"}
        for row in rows(folder, stream)
    ]
    for row in kept:
        if "budget" in row:
            row["budget"] = {k: v for k, v in row["budget"].items() if k != "seconds"}
    return "\n".join(json.dumps(row) for row in kept)


def weights(folder: Path) -> bytes:
    return (newest(folder) / "policy" / "model.safetensors").read_bytes()


def newest(folder: Path) -> Path:
    found = checkpoint.newest_valid(folder / "checkpoints").folder
    assert found is not None
    return found


class Hooked:
    """An engine that does something else first; for what happens in the middle of a run."""

    def __init__(self, inner: Engine, before_update: Callable[[int], None]) -> None:
        self._inner = inner
        self._before_update = before_update
        self._updates = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def update(
        self, rollouts: Rollouts, advantage_BT: Tensor, reference_BT: Tensor, plan: UpdatePlan
    ) -> UpdateStats:
        self._updates += 1
        self._before_update(self._updates)
        return self._inner.update(rollouts, advantage_BT, reference_BT, plan)


def hooked(make_engine: MakeEngine, hook: Callable[[int], None]) -> MakeEngine:
    return lambda config: Hooked(make_engine(config), hook)


def signal_at(update: int, signum: int) -> Callable[[int], None]:
    return lambda n: os.kill(os.getpid(), signum) if n == update else None


# ---- stopping and going on ----


@pytest.mark.parametrize("algo", ALGORITHMS)
def test_a_resumed_run_is_the_uninterrupted_one(
    configure: Configure, make_engine: MakeEngine, algo: str
) -> None:
    words = [f"algo={algo}", "eval.every=2"]
    whole = trainer.run(configure(*words, "name=whole"), make_engine)
    stop = hooked(make_engine, signal_at(4, signal.SIGTERM))
    with pytest.raises(Interrupted, match=r"SIGTERM after step 4, .*resume=true name=half"):
        trainer.run(configure(*words, "name=half"), stop)
    half = trainer.run(configure(*words, "name=half", "resume=true"), make_engine)
    for stream in ("metrics", "eval", "samples"):
        assert without_seconds(half, stream) == without_seconds(whole, stream)
    assert weights(half) == weights(whole)
    for name in ("algorithm.safetensors", "optimiser.safetensors"):
        assert (newest(half) / name).read_bytes() == (newest(whole) / name).read_bytes()


def test_the_words_of_the_last_line_are_all_it_takes_to_continue(
    configure: Configure, make_engine: MakeEngine
) -> None:
    words = ["algo=grpo", "algo.eps=0.001", "train.epochs=2", "seed=7", "rollout.group_size=4"]
    whole = trainer.run(configure(*words, "name=whole"), make_engine)
    stop = hooked(make_engine, signal_at(5, signal.SIGTERM))
    with pytest.raises(Interrupted) as stopped:
        trainer.run(configure(*words, "name=half"), stop)
    way_back = re.search(r"; (resume=true .*) continues$", str(stopped.value))
    assert way_back is not None
    half = trainer.run(load(way_back[1].split()), make_engine)
    assert without_seconds(half, "metrics") == without_seconds(whole, "metrics")


def test_a_longer_budget_continues_a_finished_run(
    configure: Configure, make_engine: MakeEngine
) -> None:
    whole = trainer.run(configure("name=whole", "eval.every=2"), make_engine)
    words = ["name=part", "eval.every=2"]
    trainer.run(configure(*words, "budget.rollouts=256"), make_engine)
    part = trainer.run(configure(*words, "resume=true"), make_engine)
    assert without_seconds(part, "metrics") == without_seconds(whole, "metrics")
    assert without_seconds(part, "eval") == without_seconds(whole, "eval")


def test_a_crash_loses_only_the_steps_after_the_last_checkpoint(
    configure: Configure, make_engine: MakeEngine
) -> None:
    def crash(update: int) -> None:
        if update == 6:
            raise RuntimeError("a bug")

    whole = trainer.run(configure("name=whole"), make_engine)
    with pytest.raises(RuntimeError, match="a bug"):
        trainer.run(configure("name=half"), hooked(make_engine, crash))
    folder = Path(configure().runs_dir) / "half"
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"
    half = trainer.run(configure("name=half", "resume=true"), make_engine)
    assert without_seconds(half, "metrics") == without_seconds(whole, "metrics")
    assert weights(half) == weights(whole)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = trainer.run(configure("name=whole"), make_engine)
    half = trainer.run(configure("name=half"), make_engine)
    model = newest(half) / "policy" / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1])
    trainer.run(configure("name=half", "resume=true"), make_engine)
    assert "step_6: policy/model.safetensors is not what was written" in capsys.readouterr().err
    assert without_seconds(half, "metrics") == without_seconds(whole, "metrics")
    assert weights(half) == weights(whole)


def test_ctrl_c_saves_and_ends_as_a_keyboard_interrupt(
    configure: Configure, make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]
) -> None:
    stop, before = hooked(make_engine, signal_at(3, signal.SIGINT)), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(configure("name=stopped"), stop)
    folder = Path(configure().runs_dir) / "stopped"
    assert newest(folder).name == "step_3"
    assert "ended by SIGINT after step 3, which is saved; resume=true" in capsys.readouterr().err
    known = json.loads((folder / "run.json").read_text())
    assert known["status"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("signum", [s for s in SIGNALS if s != signal.SIGINT])
def test_every_usual_signal_saves_and_leaves_a_status_that_is_true(
    configure: Configure, make_engine: MakeEngine, signum: signal.Signals
) -> None:
    stop = hooked(make_engine, signal_at(3, signum))
    with pytest.raises(Interrupted, match=f"ended by {signum.name} after step 3, which is saved; "):
        trainer.run(configure("name=run"), stop)
    folder = Path(configure().runs_dir) / "run"
    assert newest(folder).name == "step_3"
    known = json.loads((folder / "run.json").read_text())
    assert known["status"] == "interrupted"
    assert known["exit_reason"] == f"ended by {signum.name} after step 3, which is saved"
    assert not (folder / "traceback.txt").exists()
    assert runlock.owner(folder) is None


def test_a_signal_between_a_step_and_its_evaluation_leaves_the_same_checkpoint(
    configure: Configure, make_engine: MakeEngine
) -> None:
    words = ["eval.every=2"]
    whole = trainer.run(configure(*words, "name=whole"), make_engine)
    last = hooked(make_engine, signal_at(6, signal.SIGTERM))
    with pytest.raises(Interrupted):
        trainer.run(configure(*words, "name=half"), last)
    half = trainer.run(configure(*words, "name=half", "resume=true"), make_engine)
    assert list(sameness.checkpoint_differences(newest(whole), newest(half))) == []


def test_a_signal_that_comes_at_the_end_lets_the_run_come_to_it(
    configure: Configure, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = run_page.write

    def signalled(folder: Path) -> Path:
        os.kill(os.getpid(), signal.SIGINT)
        return written(folder)

    monkeypatch.setattr(run_page, "write", signalled)
    folder = trainer.run(configure("name=run"), make_engine)
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    assert "</html>" in (folder / "report.html").read_text()


def test_a_start_that_is_interrupted_leaves_nothing_and_says_so(
    configure: Configure, make_engine: MakeEngine
) -> None:
    def signalled(config: Config) -> Engine:
        os.kill(os.getpid(), signal.SIGHUP)
        return make_engine(config)

    with pytest.raises(Interrupted, match="by SIGHUP; nothing was started, and the same command"):
        trainer.run(configure("name=run"), signalled)
    assert not (Path(configure().runs_dir) / "run").exists()
    folder = trainer.run(configure("name=run"), make_engine)  # the same command
    before = (folder / "run.json").read_bytes()
    with pytest.raises(Interrupted, match="the run is unchanged, and the same command continues"):
        trainer.run(configure("name=run", "resume=true"), signalled)
    assert (folder / "run.json").read_bytes() == before
    trainer.run(configure("name=run", "resume=true"), make_engine)


def test_an_engine_lost_to_the_same_signal_is_not_started_again(
    configure: Configure, make_engine: MakeEngine
) -> None:
    def both(update: int) -> None:
        if update == 4:
            os.kill(os.getpid(), signal.SIGUSR1)
            raise EngineLost("the policy's process died")

    with pytest.raises(Interrupted, match="by SIGUSR1 after step 3; what came after the newest"):
        trainer.run(configure("name=half"), hooked(make_engine, both))
    whole = trainer.run(configure("name=whole"), make_engine)
    half = trainer.run(configure("name=half", "resume=true"), make_engine)
    assert without_seconds(half, "metrics") == without_seconds(whole, "metrics")


def test_an_interrupted_proof_promises_no_way_back_into_its_copy(
    configure: Configure, make_engine: MakeEngine
) -> None:
    folder = trainer.run(configure("name=run"), make_engine)
    stop = hooked(make_engine, signal_at(1, signal.SIGTERM))
    with pytest.raises(Interrupted, match="the run itself is as it was, and the same command") as s:
        verify_resume.verify(folder, stop)
    assert "resume=true" not in str(s.value)


def test_an_interrupted_scoring_is_no_death_without_a_word(
    configure: Configure, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def signalled(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGHUP)

    monkeypatch.setattr(scoring, "evaluate", signalled)
    with pytest.raises(Interrupted, match="by SIGHUP; an evaluation cannot be resumed"):
        evaluate.run([configure("name=scores")], make_engine)
    known = json.loads((Path(configure().runs_dir) / "scores" / "run.json").read_text())
    assert known["status"] == "interrupted"


def test_a_run_that_was_run_with_other_settings_is_not_continued(
    configure: Configure, make_engine: MakeEngine
) -> None:
    trainer.run(configure("name=run"), make_engine)
    with pytest.raises(UserError, match=r"other settings.*train\.lr=0\.1 \(was 0\.05\)"):
        trainer.run(configure("name=run", "resume=true", "train.lr=0.1"), make_engine)


def test_another_algorithm_does_not_continue_a_run(
    configure: Configure, make_engine: MakeEngine
) -> None:
    trainer.run(configure("name=run", "algo=grpo"), make_engine)
    with pytest.raises(UserError, match=r"other settings.*: algo\.name=mssr \(was grpo\); give"):
        trainer.run(configure("name=run", "resume=true", "algo=mssr"), make_engine)


def test_resuming_needs_a_name(configure: Configure, make_engine: MakeEngine) -> None:
    with pytest.raises(UserError, match="resume=true needs to know which run"):
        trainer.run(configure("resume=true"), make_engine)


# ---- collapse ----


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_healthy_policy(
    configure: Configure, make_engine: MakeEngine
) -> None:
    class Broken(Hooked):
        def update(self, *args: Any) -> UpdateStats:
            stats = super().update(*args)
            return stats._replace(grad_norm=float("nan")) if self._updates == 4 else stats

    def broken(config: Config) -> Engine:
        return Broken(make_engine(config), lambda n: None)

    with pytest.raises(Collapsed, match="step 4: the gradient is not finite"):
        trainer.run(configure("name=run"), broken)
    folder = Path(configure().runs_dir) / "run"
    assert newest(folder).name == "step_2"
    assert len(rows(folder, "metrics")) == 3
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["stability"]["verdict"] == "collapsed"
    assert json.loads((folder / "run.json").read_text())["status"] == "collapsed"
