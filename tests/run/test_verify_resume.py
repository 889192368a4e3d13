"""A stretch of a run, done again from its checkpoint: the same to the last bit, or it is said."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.run import checkpoint, trainer
from mssr_rl.run.interrupt import Interrupted
from mssr_rl.run.verify_resume import verify

pytestmark = pytest.mark.slow

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]


@pytest.mark.parametrize("algo", ["grpo", "rloo", "reinforce_pp", "mvsr", "mssr"])
@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_finished_run_is_its_first_steps_and_the_others(
    configure: Configure, make_engine: MakeEngine, algo: str, every: int
) -> None:
    words = (f"algo={algo}", f"checkpoint.every={every}", "eval.every=2")
    folder = trainer.run(configure(*words), make_engine)
    first = min(map(checkpoint.step_of, checkpoint.newest_first(folder / "checkpoints")))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    said = verify(folder, make_engine)
    assert f": 6 steps are {first} and {6 - first} more, bit for bit" in said
    assert first < 6
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_was_stopped_is_verified_up_to_where_it_is(
    configure: Configure, make_engine: MakeEngine
) -> None:
    class Stopping:
        def __init__(self, inner: Engine) -> None:
            self.inner, self.updates = inner, 0

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def update(self, *args: object) -> object:
            self.updates += 1
            if self.updates == 5:
                os.kill(os.getpid(), signal.SIGTERM)
            return self.inner.update(*args)  # type: ignore[arg-type]

    with pytest.raises(Interrupted):
        trainer.run(configure("name=run"), lambda config: Stopping(make_engine(config)))  # type: ignore[arg-type,return-value]
    said = verify(Path(configure().runs_dir) / "run", make_engine)
    assert ": 5 steps are 2 and 3 more" in said or ": 5 steps are 4 and 1 more" in said


def test_an_engine_that_forgets_something_is_found_out(
    configure: Configure, make_engine: MakeEngine
) -> None:
    class Forgetful:
        """Loads the weights, but not AdamW's moments."""

        def __init__(self, inner: Engine) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def load(self, folder: Path) -> None:
            self.inner.load(folder)
            for moments in self.inner.optimiser.state.values():  # type: ignore[attr-defined]
                torch._foreach_zero_(list(moments.values()))

    folder = trainer.run(configure(), make_engine)
    with pytest.raises(RunFailed, match=r"done again, differ:\n  metrics\.jsonl differs at step 5"):
        verify(folder, lambda config: Forgetful(make_engine(config)))  # type: ignore[arg-type,return-value]


@pytest.mark.parametrize("key", ["kl_step", "position", "ledger", "scores"])
def test_a_state_that_lost_something_is_found_out(
    configure: Configure, make_engine: MakeEngine, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a checkpoint holds is all needed: without it the run would go on as another one."""
    folder = trainer.run(configure("algo=mssr"), make_engine)
    whole = checkpoint.read_checkpoint

    def forgetful(found: Path, initial: object) -> checkpoint.Restored:
        restored = whole(found, initial)
        fresh = getattr(checkpoint.TrainState(None), key)
        return restored._replace(state=restored.state._replace(**{key: fresh}))

    monkeypatch.setattr(checkpoint, "read_checkpoint", forgetful)
    with pytest.raises(RunFailed, match="differ"):
        verify(folder, make_engine)


def test_a_tracker_that_is_forgotten_is_found_out(
    configure: Configure, make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = trainer.run(configure("algo=mssr"), make_engine)
    whole = checkpoint.read_checkpoint

    def forgetful(found: Path, initial: object) -> checkpoint.Restored:
        restored = whole(found, initial)
        return restored._replace(state=restored.state._replace(algorithm=initial))

    monkeypatch.setattr(checkpoint, "read_checkpoint", forgetful)
    with pytest.raises(RunFailed, match="differ"):
        verify(folder, make_engine)


def test_what_is_no_run_or_has_no_checkpoint_is_refused(
    configure: Configure, make_engine: MakeEngine, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="is not a run directory"):
        verify(tmp_path, make_engine)
    folder = trainer.run(configure(), make_engine)
    for found in checkpoint.newest_first(folder / "checkpoints"):
        (found / "state.json").unlink()
    with pytest.raises(UserError, match="holds no valid checkpoint"):
        verify(folder, make_engine)
