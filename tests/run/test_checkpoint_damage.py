"""Checkpoints against the worst: killed at every act of a save, cut, flipped, swapped, no room."""

import os
import random
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.errors import RunFailed
from mssr_rl.run import checkpoint
from mssr_rl.run.checkpoint import Store, TrainState

pytestmark = pytest.mark.slow

FILES = (
    "algorithm.safetensors",
    "manifest.json",
    "optimiser.safetensors",
    "policy/model.safetensors",
    "state.json",
)
ACTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"}


@pytest.fixture
def engine(configure: Callable[..., Config], make_engine: Callable[[Config], Engine]) -> Engine:
    return make_engine(configure())


@pytest.fixture
def store(engine: Engine, tmp_path: Path) -> Store:
    """Checkpoints of steps 2 and 4."""
    made = Store(tmp_path / "checkpoints", 2)
    for step in (2, 4):
        checkpoint.save(made, engine, state(step), {})
    return made


def state(step: int) -> TrainState:
    return TrainState((torch.arange(step, dtype=torch.float64),), step)


def newest(store: Store) -> tuple[str | None, str]:
    """The checkpoint that would be loaded, and what would be said."""
    found = checkpoint.newest_valid(store.folder)
    return found.folder and found.folder.name, "; ".join(found.skipped)


# ---- killed in the middle of a save ----


def killed_at(act: int, work: Callable[[], None], below: Path) -> bool:
    """Do `work` in a child that kills itself right before its n-th act on the file system."""
    pid = os.fork()
    if pid == 0:
        seen = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal seen
            if event in ACTS and str(below) in str(arguments[0]):
                seen += 1
                if seen == act:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_a_save_killed_at_any_of_its_acts_leaves_a_whole_checkpoint(
    store: Store, engine: Engine, tmp_path: Path
) -> None:
    act, outcomes = 0, []
    begun = store.folder
    while True:
        act += 1
        trial = Store(tmp_path / f"trial_{act}", 1)
        shutil.copytree(begun, trial.folder)
        killed = killed_at(
            act, lambda t=trial: checkpoint.save(t, engine, state(6), {}), trial.folder
        )
        name, said = newest(trial)
        assert name in ("step_4", "step_6")
        assert said == ""
        checkpoint.save(trial, engine, state(6), {})
        assert [path.name for path in trial.folder.iterdir()] == ["step_6"]
        outcomes.append(name)
        if not killed:
            break
    assert act > 10
    assert outcomes == sorted(outcomes)  # the old one up to a point, the new one from there on
    assert {"step_4", "step_6"} == set(outcomes[:-1])


# ---- damaged afterwards ----


@pytest.mark.parametrize("tenth", range(10))
@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_at_any_tenth_of_its_bytes_is_noticed(
    store: Store, name: str, tenth: int
) -> None:
    path = store.folder / "step_4" / name
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * tenth // 10])
    loaded, said = newest(store)
    assert loaded == "step_2"
    assert f"skipped {store.folder / 'step_4'}: " in said
    assert name in said or name == "manifest.json"


@pytest.mark.parametrize("seed", range(40))
def test_a_flipped_bit_anywhere_is_noticed_or_changes_nothing(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    path = store.folder / "step_4" / FILES[seed % len(FILES)]
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)
    assert newest(store)[0] == "step_2"


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(store: Store, name: str) -> None:
    (store.folder / "step_4" / name).unlink()
    loaded, said = newest(store)
    assert loaded == "step_2"
    assert f"{name} is missing" in said


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_checkpoint_is_noticed(store: Store, name: str) -> None:
    theirs = store.folder / "step_2" / name
    ours = store.folder / "step_4" / name
    same = theirs.read_bytes() == ours.read_bytes()
    shutil.copy(theirs, ours)
    assert newest(store)[0] == ("step_4" if same else "step_2")
    assert same == (name.startswith(("policy", "optimiser")))  # nothing was trained in between


def test_two_swapped_files_are_noticed(store: Store) -> None:
    one, other = (store.folder / "step_4" / name for name in FILES[2:4])
    contents = one.read_bytes(), other.read_bytes()
    other.write_bytes(contents[0])
    one.write_bytes(contents[1])
    assert newest(store)[0] == "step_2"


def test_a_checkpoint_under_another_step_s_name_is_noticed(store: Store) -> None:
    shutil.copytree(store.folder / "step_2", store.folder / "step_9")
    loaded, said = newest(store)
    assert loaded == "step_4"
    assert "it is the checkpoint of step 2, renamed" in said


def test_a_file_that_was_put_there_later_is_noticed(store: Store) -> None:
    (store.folder / "step_4" / "policy" / "pytorch_model.bin").write_bytes(b"cos\nsystem\n")
    loaded, said = newest(store)
    assert loaded == "step_2"
    assert "policy/pytorch_model.bin was put there later" in said


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", "policy/.DS_Store", "._state.json", "policy/._model.safetensors"),
        *("Thumbs.db", "desktop.ini", ".nfs000000000012ab4500000001", "policy/.nfs01"),
        *("@eaDir/state.json@SynoEAStream", "policy/@eaDir/x", ".fuse_hidden0000001", ".directory"),
    ],
)
def test_what_a_system_puts_into_any_folder_is_no_damage(
    store: Store, engine: Engine, name: str
) -> None:
    path = store.folder / "step_4" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"\x00")
    assert newest(store) == ("step_4", "")
    checkpoint.save(store, engine, state(4), {})
    assert newest(store) == ("step_4", "")
    assert not path.exists()


# ---- written again ----


def test_a_checkpoint_that_is_written_again_is_there_at_every_moment(
    store: Store, engine: Engine, tmp_path: Path
) -> None:
    """Of the only step that is kept, with one more evaluation; killed before each of its acts."""
    act, begun, outcomes = 0, store.folder, set()
    later = state(4)._replace(skipped=7)
    while True:
        act += 1
        trial = Store(tmp_path / f"trial_{act}", 1)
        shutil.copytree(begun / "step_4", trial.folder / "step_4")
        killed = killed_at(act, lambda t=trial: checkpoint.save(t, engine, later, {}), trial.folder)
        checkpoint.tidy(trial.folder)
        assert newest(trial) == ("step_4", "")
        assert [path.name for path in trial.folder.iterdir()] == ["step_4"]
        found = checkpoint.read_checkpoint(trial.folder / "step_4", later.algorithm).state
        outcomes.add(found.skipped)
        if not killed:
            break
    assert act > 10
    assert outcomes == {0, 7}


def test_one_that_cannot_be_replaced_stays(
    store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.startswith("writing_"):
            raise OSError("the disk is gone for a moment")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(RunFailed, match="step 4 could not be written"):
        checkpoint.save(store, engine, state(4)._replace(skipped=7), {})
    assert newest(store) == ("step_4", "")


# ---- no room ----


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The kernel refuses to let a file grow: what a full disk does, at an offset of our choice."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("tenth", range(10))
def test_a_disk_that_fills_up_at_any_offset_leaves_the_old_ones(
    store: Store, engine: Engine, tenth: int
) -> None:
    largest = max((store.folder / "step_4" / name).stat().st_size for name in FILES)
    says = r"step 6 could not be written .*File too large.*earlier checkpoints are intact"
    with no_file_above(largest * tenth // 10), pytest.raises(RunFailed, match=says):
        checkpoint.save(store, engine, state(6), {})
    assert sorted(path.name for path in store.folder.iterdir()) == ["step_2", "step_4"]
    assert newest(store) == ("step_4", "")
    checkpoint.save(store, engine, state(6), {})
    assert newest(store) == ("step_6", "")


def test_room_is_looked_for_before_anything_is_written(
    store: Store, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(path.stat().st_size for path in (store.folder / "step_4").rglob("*.s*"))
    usage = shutil.disk_usage(store.folder)

    def nearly_full(_: object) -> object:
        return usage._replace(free=size // 2)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    monkeypatch.setattr(type(engine), "save", None)  # must not be reached
    with pytest.raises(RunFailed, match=r"it takes about .* MB and .* MB are free"):
        checkpoint.save(store, engine, state(6), {})
    assert newest(store) == ("step_4", "")


def test_the_room_for_the_first_one_is_estimated(engine: Engine, tmp_path: Path) -> None:
    store = Store(tmp_path / "checkpoints", 2, expected_bytes=10**18)
    with pytest.raises(RunFailed, match=r"it takes about 1,000,000,000,000\.0 MB"):
        checkpoint.save(store, engine, state(2), {})


# ---- which stay ----


def test_the_best_among_those_that_were_saved_stays(engine: Engine, tmp_path: Path) -> None:
    from mssr_rl.run.scoring import Score

    store, accuracy = Store(tmp_path / "kept", 1), {2: 0.5, 3: 0.9, 4: 0.7, 6: 0.1, 8: 0.2}
    scores = tuple(Score(s, "e", "val", 8, 0.1, a, 4) for s, a in accuracy.items())
    for step in (2, 4, 6, 8):  # step 3, the very best, was evaluated but not saved
        seen = tuple(score for score in scores if score.step <= step)
        checkpoint.save(store, engine, state(step)._replace(scores=seen), {})
    assert [path.name for path in checkpoint.newest_first(store.folder)] == ["step_8", "step_4"]
