"""Checkpoints: everything that a run needs to continue.

    checkpoints/step_<n>/
        policy/                 an ordinary model folder, and beside it the optimiser: `Engine.save`
        algorithm.safetensors   the algorithm's state: tracker counts and KL window
        state.json              position in the problem stream, ledger, kl_step, evaluations, ...
        manifest.json           size and hash of every file; a valid checkpoint matches it

A checkpoint is written to a temporary folder and then renamed. It holds no random-number state,
because seeds are derived from (seed, step). A folder that does not match its manifest is reported
and skipped. Older checkpoints are deleted only after a newer one is safe on disk.
"""

import errno
import itertools
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import SafetensorError
from safetensors.torch import save_file

from mssr_rl import files, untrusted
from mssr_rl.advantage import restore_state, state_tensors
from mssr_rl.budget import Ledger
from mssr_rl.controllers import Coefficients
from mssr_rl.engine_protocol import Engine
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.run.scoring import Score

FORMAT = 1


class TrainState(NamedTuple):
    """The state of a run between two steps; the engine holds the policy and its optimiser."""

    algorithm: Any  # the state of the advantage chain
    step: int = 0  # the last completed step
    position: int = 0  # in the problem stream
    ledger: Ledger = Ledger()
    kl_step: float | None = None  # measured after the last update [nat per token]
    scores: tuple[Score, ...] = ()  # every evaluation so far
    skipped: int = 0  # consecutive steps left out, up to this one
    coefficients: Coefficients | None = None  # of the next step; None: those of the loss


class Restored(NamedTuple):
    """The content of a checkpoint, except the engine's part."""

    state: TrainState
    stream_sizes: Mapping[str, int]  # sizes of the run's .jsonl files at that time [bytes]


class SavedMoment(NamedTuple):
    """The key of a saved state.

    The step alone is not enough, because evaluations can follow at the same step.
    """

    step: int
    scores: int
    initial_rollouts: int


class Store(NamedTuple):
    """The folder of a run's checkpoints, and how many of them are kept."""

    folder: Path
    keep: int
    expected_bytes: int = 0  # estimate for the first checkpoint; later ones use the size before


def save(store: Store, engine: Engine, state: TrainState, stream_sizes: Mapping[str, int]) -> None:
    """Write the checkpoint step_<n>, then delete older ones.

    The newest `keep` checkpoints and the best one stay. Raises `RunFailed` if writing fails; the
    earlier checkpoints then stay intact.
    """
    final = store.folder / f"step_{state.step}"

    def fill(folder: Path) -> None:
        _refuse_a_full_disk(store)
        engine.save(folder)
        write_state(state, stream_sizes, folder)

    try:
        write(final, fill)
    except (OSError, SafetensorError) as error:
        raise RunFailed(
            f"the checkpoint of step {state.step} could not be written to {store.folder}: {error}; "
            "earlier checkpoints are intact: free some space, then add resume=true"
        ) from error
    _prune(store, state)


def write(final: Path, fill: Callable[[Path], None]) -> None:
    """Write the folder `final`: `fill` writes the content, then the manifest is added.

    If writing fails, the unfinished folder is removed and an older `final` stays.
    """
    aside = final.with_name(f"writing_{final.name.removeprefix('step_')}")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True, exist_ok=True)  # rmtree can fail if another host uses a file
        fill(aside)
        _seal(aside)
        before = _moved_away(final)
        aside.rename(final)
        # The rename must be on disk before the older folder is deleted.
        files.sync(final.parent)
        shutil.rmtree(before, ignore_errors=True)
    except (OSError, SafetensorError):
        with suppress(OSError):
            tidy(final.parent)
        raise


def _refuse_a_full_disk(store: Store) -> None:
    newest = next(iter(newest_first(store.folder)), None)
    needed = sum(p.stat().st_size for p in _files(newest)) if newest else store.expected_bytes
    free = shutil.disk_usage(store.folder).free
    if free < needed:
        raise OSError(
            errno.ENOSPC, f"it takes about {needed / 1e6:,.1f} MB and {free / 1e6:,.1f} MB are free"
        )


def _moved_away(final: Path) -> Path:
    """Rename the older folder `final`, if it exists; return its new path.

    The old folder is damaged, or has fewer evaluations. It is deleted only after the new one is in
    place. If the process is killed in between, `tidy` puts it back.
    """
    name = f"replaced_{final.name.removeprefix('step_')}"
    places = (final.with_name(f"{name}.{n}") for n in itertools.count())
    place = next(place for place in places if not place.exists())
    if final.exists():
        final.rename(place)
    return place


def tidy(folder: Path) -> None:
    """Clean up after a killed process: delete unfinished folders, move renamed ones back."""
    for unfinished in folder.glob("writing_*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    for before in folder.glob("replaced_*.*"):
        final = folder / f"step_{before.stem.removeprefix('replaced_')}"
        if final.exists():
            shutil.rmtree(before, ignore_errors=True)
        else:
            before.rename(final)


def mark(state: TrainState) -> SavedMoment:
    """Return the key of this state (`SavedMoment`), by which a second save is recognised."""
    return SavedMoment(state.step, len(state.scores), state.ledger.initial_rollouts)


def _prune(store: Store, state: TrainState) -> None:
    there = newest_first(store.folder)
    steps = {step_of(path) for path in there}
    val = [score for score in state.scores if score.split == "val" and score.step in steps]
    best = max(val, key=lambda score: score.accuracy_sampled).step if val else None
    older = [path for path in there if step_of(path) < state.step]
    for old in older[store.keep - 1 :]:
        if step_of(old) != best:
            shutil.rmtree(old, ignore_errors=True)  # a folder that stays does no harm


def write_state(state: TrainState, stream_sizes: Mapping[str, int], folder: Path) -> None:
    """Write the files of a checkpoint that the engine does not write."""
    tensors = {name: t.contiguous() for name, t in state_tensors(state.algorithm).items()}
    save_file(tensors, folder / "algorithm.safetensors")
    document = {
        "format": FORMAT,
        "step": state.step,
        "position": state.position,
        "kl_step": state.kl_step,
        "ledger": state.ledger.as_dict(),
        "scores": [score._asdict() for score in state.scores],
        "skipped": state.skipped,
        "coefficients": state.coefficients and state.coefficients._asdict(),
        "stream_sizes": dict(stream_sizes),
    }
    files.write_json(folder / "state.json", document)


def _seal(folder: Path) -> None:
    # Every file reaches the disk before the manifest that vouches for it.
    manifest = {path.relative_to(folder).as_posix(): _identity(path) for path in _files(folder)}
    for path in _files(folder):
        files.sync(path)
    files.write_json(folder / "manifest.json", manifest)
    files.sync(folder)


def seal_of(folder: Path) -> str | None:
    """Return the hash of a checkpoint's manifest; None if there is no manifest.

    The manifest holds the hash of every file, so this hash covers all of them.
    """
    try:
        return str(_identity(folder / "manifest.json")["sha256"])
    except FileNotFoundError:
        return None


def _files(folder: Path) -> list[Path]:
    paths = (path for path in files.below(folder) if path.name != "manifest.json")
    return sorted(paths)


def _identity(path: Path, within: Path | None = None) -> dict[str, Any]:
    digest = untrusted.sha256(path, within)
    return {"bytes": path.stat().st_size, "sha256": digest}


def newest_first(folder: Path) -> list[Path]:
    """Return all checkpoint folders, valid or not, with the newest step first."""
    paths = [p for p in folder.glob("step_*") if p.name.removeprefix("step_").isdecimal()]
    return sorted(paths, key=step_of, reverse=True)


def step_of(folder: Path) -> int:
    """Return the step number in the name of a checkpoint folder."""
    return int(folder.name.removeprefix("step_"))


def fault(folder: Path) -> str | None:
    """Return the reason why a checkpoint is not valid; None if every file is unchanged."""
    try:
        manifest = untrusted.read_object(folder / "manifest.json")
        changed = [
            name for name, known in manifest.items() if _identity(folder / name, folder) != known
        ]
        if changed:
            return f"{changed[0]} is not what was written"
        if "state.json" not in manifest:
            return "it holds no state.json"
        foreign = {path.relative_to(folder).as_posix() for path in _files(folder)} - set(manifest)
        return f"{min(foreign)} was put there later" if foreign else None
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).relative_to(folder)} is missing"
    except (OSError, ValueError, untrusted.Unusable) as error:
        return f"it cannot be read: {error}"


def _misplaced(folder: Path) -> str | None:
    step = untrusted.read_object(folder / "state.json").get("step")
    return None if step == step_of(folder) else f"it is the checkpoint of step {step}, renamed"


class ResumePoint(NamedTuple):
    """The checkpoint from which a run continues, and the newer ones that were skipped."""

    folder: Path | None
    skipped: tuple[str, ...]  # one sentence per skipped checkpoint


def newest_valid(folder: Path) -> ResumePoint:
    """Return the newest valid checkpoint."""
    skipped: list[str] = []
    for candidate in newest_first(folder):
        problem = fault(candidate) or _misplaced(candidate)
        if problem is None:
            return ResumePoint(candidate, tuple(skipped))
        skipped.append(f"skipped {candidate}: {problem}")
    return ResumePoint(None, tuple(skipped))


def ledger_of(folder: Path) -> Ledger:
    """Return the budget ledger that a verified checkpoint holds."""
    document = untrusted.read_object(folder / "state.json")
    return Ledger.from_dict(document["ledger"])


def _coefficients(entries: Any) -> Coefficients | None:
    if entries is None:
        return None
    return Coefficients(float(entries["kl"]), float(entries["entropy"]))


def read_checkpoint(folder: Path, initial: Any) -> Restored:
    """Return the content of a verified checkpoint, except the engine's part (see `Engine.load`).

    `initial` is the algorithm's state before training; it gives the structure.

    Raises `UserError` if the format is another one, or if the files are not those of training.
    """
    document = untrusted.read_object(folder / "state.json")
    if document["format"] != FORMAT:
        raise UserError(
            f"{folder} has checkpoint format {document['format']}, this version reads {FORMAT}; "
            "resume it with the version that wrote it (see run.json)"
        )
    try:
        tensors = untrusted.tensors(folder / "algorithm.safetensors")
    except untrusted.Unusable as error:
        raise UserError(
            f"{folder / 'algorithm.safetensors'} is not a safetensors file ({error}), although its "
            "manifest is in order: it was not written by training"
        ) from error
    try:
        state = TrainState(
            algorithm=restore_state(initial, tensors),
            step=document["step"],
            position=document["position"],
            ledger=Ledger.from_dict(document["ledger"]),
            kl_step=document["kl_step"],
            scores=tuple(Score(**score) for score in document["scores"]),
            # Older checkpoints do not have the last two keys.
            skipped=document.get("skipped", 0),
            coefficients=_coefficients(document.get("coefficients")),
        )
        return Restored(state, dict(document["stream_sizes"]))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(
            f"{folder} is not as training writes a checkpoint ({type(error).__name__}: {error}), "
            "although its manifest is in order"
        ) from error
