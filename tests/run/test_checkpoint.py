"""A checkpoint holds the whole future of a run, is whole or ignored, and outlives a failed save."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mssr_rl.advantage import Batch
from mssr_rl.algos import algorithms
from mssr_rl.budget import Ledger
from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.run import checkpoint
from mssr_rl.run.checkpoint import Store, TrainState
from mssr_rl.run.scoring import Score

SIZES = {"metrics": 10, "eval": 20, "samples": 30}


@pytest.fixture
def engine(configure: Callable[..., Config], make_engine: Callable[[Config], Engine]) -> Engine:
    return make_engine(configure())


def tracker_state(steps: int) -> object:
    """What mssr remembers after some steps."""
    chain = algorithms.make("mssr").advantage
    state = chain.init(5)
    generator = torch.Generator().manual_seed(1)
    for step in range(steps):
        batch = random_batch(generator, kl_step=0.01 * step or None)
        state = chain.update(batch.reward_B, batch, state).state
    return state


def random_batch(generator: torch.Generator, kl_step: float | None) -> Batch:
    shape = (6, 3)
    return Batch(
        reward_B=torch.randint(0, 2, (6,), generator=generator).double(),
        problem_B=torch.randint(0, 5, (6,), generator=generator),
        mask_BT=torch.ones(shape),
        logprob_BT=-torch.rand(shape, generator=generator),
        entropy_BT=torch.rand(shape, generator=generator),
        logprob_ref_BT=-torch.rand(shape, generator=generator),
        kl_step=kl_step,
        group_size=1,
    )


def state_at(step: int, accuracy: float = 0.5) -> TrainState:
    scores = tuple(Score(s, "e", "val", 8, 0.5, accuracy, 4) for s in (0, step))
    ledger = Ledger(rollouts=step * 64, seconds_by_phase={"update": 0.1 + 0.2})
    return TrainState(tracker_state(step), step, step * 8, ledger, 0.1 + 0.2, scores)


def test_everything_a_run_remembers_survives_exactly(engine: Engine, tmp_path: Path) -> None:
    state = state_at(3)
    checkpoint.save(Store(tmp_path, 2), engine, state, SIZES)
    restored = checkpoint.read_checkpoint(tmp_path / "step_3", tracker_state(0))
    assert restored.stream_sizes == SIZES
    assert restored.state._replace(algorithm=None) == state._replace(algorithm=None)
    torch.testing.assert_close(restored.state.algorithm, state.algorithm, rtol=0, atol=0)
    assert repr(restored.state.algorithm) == repr(state.algorithm)  # types too


def test_the_newest_are_kept_and_the_best(engine: Engine, tmp_path: Path) -> None:
    store = Store(tmp_path, 2)
    for step, accuracy in ((2, 0.6), (4, 0.9), (6, 0.7), (8, 0.6), (10, 0.5)):
        earlier = [(2, 0.6), (4, 0.9), (6, 0.7), (8, 0.6), (10, 0.5)]
        scores = tuple(Score(s, "e", "val", 8, 0.1, a, 4) for s, a in earlier if s <= step)
        checkpoint.save(store, engine, state_at(step)._replace(scores=scores), SIZES)
        assert (tmp_path / f"step_{step}").exists(), accuracy
    assert [p.name for p in checkpoint.newest_first(tmp_path)] == ["step_10", "step_8", "step_4"]


def test_the_old_one_is_not_deleted_when_the_new_one_fails(engine: Engine, tmp_path: Path) -> None:
    class FullDisk:
        def save(self, folder: Path) -> None:
            (folder / "optimiser.safetensors").write_bytes(b"half")
            raise OSError(28, "No space left on device")

    checkpoint.save(Store(tmp_path, 1), engine, state_at(2), SIZES)
    with pytest.raises(RunFailed, match=r"step 4 could not be written.*No space left.*intact"):
        checkpoint.save(Store(tmp_path, 1), FullDisk(), state_at(4), SIZES)  # type: ignore[arg-type]
    assert [p.name for p in tmp_path.iterdir()] == ["step_2"]
    assert checkpoint.fault(tmp_path / "step_2") is None


@pytest.mark.parametrize(
    "name",
    ["policy/model.safetensors", "optimiser.safetensors", "algorithm.safetensors", "state.json"],
)
@pytest.mark.parametrize("harm", ["cut", "flip", "remove", "empty"])
def test_a_damaged_checkpoint_is_never_used(
    engine: Engine, tmp_path: Path, name: str, harm: str
) -> None:
    for step in (2, 4):
        checkpoint.save(Store(tmp_path, 2), engine, state_at(step), SIZES)
    damage(tmp_path / "step_4" / name, harm)
    found = checkpoint.newest_valid(tmp_path)
    assert found.folder == tmp_path / "step_2"
    assert len(found.skipped) == 1
    assert name in found.skipped[0]


@pytest.mark.parametrize("harm", ["cut", "remove", "empty"])
def test_a_damaged_manifest_makes_no_checkpoint(engine: Engine, tmp_path: Path, harm: str) -> None:
    checkpoint.save(Store(tmp_path, 2), engine, state_at(2), SIZES)
    damage(tmp_path / "step_2" / "manifest.json", harm)
    assert checkpoint.newest_valid(tmp_path).folder is None


def damage(path: Path, harm: str) -> None:
    content = path.read_bytes()
    if harm == "remove":
        path.unlink()
    elif harm == "flip":
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    else:
        path.write_bytes(content[: len(content) // 2] if harm == "cut" else b"")


def test_a_checkpoint_half_written_when_the_process_died_is_ignored(
    engine: Engine, tmp_path: Path
) -> None:
    checkpoint.save(Store(tmp_path, 2), engine, state_at(2), SIZES)
    shutil.copytree(tmp_path / "step_2", tmp_path / "writing_4")
    assert checkpoint.newest_valid(tmp_path).folder == tmp_path / "step_2"
    checkpoint.save(Store(tmp_path, 2), engine, state_at(4), SIZES)
    assert not (tmp_path / "writing_4").exists()


def test_a_damaged_newer_checkpoint_does_not_push_a_whole_one_out(
    engine: Engine, tmp_path: Path
) -> None:
    for step in (2, 6):
        checkpoint.save(Store(tmp_path, 2), engine, state_at(step), SIZES)
    damage(tmp_path / "step_6" / "state.json", "cut")
    checkpoint.save(Store(tmp_path, 1), engine, state_at(4), SIZES)
    assert checkpoint.newest_valid(tmp_path).folder == tmp_path / "step_4"


def test_a_folder_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert checkpoint.newest_valid(tmp_path / "nothing") == (None, ())


def test_another_algorithm_s_memory_is_refused(engine: Engine, tmp_path: Path) -> None:
    checkpoint.save(Store(tmp_path, 2), engine, state_at(2), SIZES)
    with pytest.raises(UserError, match="resume with the algorithm that wrote it"):
        checkpoint.read_checkpoint(tmp_path / "step_2", algorithms.make("grpo").advantage.init(5))


def test_a_newer_format_is_refused_with_the_way_out(engine: Engine, tmp_path: Path) -> None:
    checkpoint.save(Store(tmp_path, 2), engine, state_at(2), SIZES)
    path = tmp_path / "step_2" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))
    with pytest.raises(UserError, match="format 99, this version reads 1"):
        checkpoint.read_checkpoint(tmp_path / "step_2", tracker_state(0))


def test_nothing_in_a_checkpoint_is_a_pickle(engine: Engine, tmp_path: Path) -> None:
    checkpoint.save(Store(tmp_path, 2), engine, state_at(2), SIZES)
    kinds = {path.suffix for path in (tmp_path / "step_2").rglob("*") if path.is_file()}
    assert kinds == {".safetensors", ".json"}
