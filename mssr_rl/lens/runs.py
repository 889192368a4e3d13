"""A run's recorded batch, seen by several algorithms at once: what `lens_page` shows.

An algorithm that keeps the same kind of memory as the run's starts from what that remembered before
the step, so the run's own algorithm comes to the very advantages it trained on; any other starts
fresh, and says so.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import untrusted
from mssr_rl.advantage import find_beliefs, restore_state, state_tensors
from mssr_rl.algos import Algorithm
from mssr_rl.config import recorded
from mssr_rl.errors import UserError
from mssr_rl.lens import view
from mssr_rl.lens.lines import LensStep, Recording, open_recording
from mssr_rl.lens.view import StepView
from mssr_rl.run.recording import FOLDER

STORY = ("token", "prompt", "answer", "response", "extracted", "reason", "images", "reward")


class RecordedRun(NamedTuple):
    """A run directory and one batch of it."""

    folder: Path
    step: int
    algo: str
    options: Mapping[str, Any]  # of the run's algorithm
    model: str
    recording: Recording
    line: LensStep


class AlgorithmView(NamedTuple):
    """One algorithm's view of the batch."""

    algorithm: Algorithm
    before: Any  # its state
    remembers: bool  # whether that is the run's own memory
    tracks: bool  # whether it has any
    seen: StepView


def open_run(folder: Path, step: int | None) -> RecordedRun:
    """The newest recorded batch of a run, or that of a step."""
    steps = recorded_steps(folder)
    if not steps:
        raise UserError(
            f"{folder} holds no recorded batch; training records some when lens.every is not 0, "
            "the first after step 1"
        )
    if step is not None and step not in steps:
        known = ", ".join(map(str, steps))
        raise UserError(f"step {step} of {folder} was not recorded; these were: {known}")
    step = steps[-1] if step is None else step
    config = recorded.plain(folder / "config.yaml")
    algo, model = (_section(config, name, folder) for name in ("algo", "model"))
    recording = open_recording(folder / FOLDER / f"step_{step}.jsonl")
    first, *more = recording.lines()
    if more:
        raise UserError(f"{recording.path} holds {1 + len(more)} batches where a run writes one")
    _refuse_half_a_story(first)
    options = {key: value for key, value in algo.items() if key != "name"}
    name = str(algo.get("name"))
    return RecordedRun(folder, step, name, options, str(model.get("path")), recording, first)


def _section(config: Mapping[str, Any], name: str, folder: Path) -> Mapping[str, Any]:
    found = config.get(name)
    if not isinstance(found, dict):
        raise UserError(f"{folder / 'config.yaml'} names no {name}; training wrote one")
    return found


def _refuse_half_a_story(line: LensStep) -> None:
    """What a person reads must be there for every rollout, and every token must be a number."""
    for name in STORY:
        found = line.record.get(name)
        if not isinstance(found, list) or len(found) != len(line.problems):
            raise UserError(f"{line.where}: {name} must be a list with an entry for every rollout")
    for tokens, length in zip(line.record["token"], line.lengths, strict=True):
        if not isinstance(tokens, list) or set(map(type, tokens)) - {int} or len(tokens) != length:
            raise UserError(f"{line.where}: token must give each rollout the numbers of its tokens")


def recorded_steps(folder: Path) -> list[int]:
    """The steps a run has kept batches of, in order."""
    stems = (path.stem.removeprefix("step_") for path in (folder / FOLDER).glob("step_*.jsonl"))
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def look(run: RecordedRun, chosen: Mapping[str, Algorithm]) -> dict[str, AlgorithmView]:
    """Every algorithm's view of the recorded batch."""
    return {name: _look(run, algorithm) for name, algorithm in chosen.items()}


def _look(run: RecordedRun, algorithm: Algorithm) -> AlgorithmView:
    fresh = view.first_look(algorithm, run.recording)
    memory = run.folder / FOLDER / f"step_{run.step}.safetensors"
    try:
        kept = untrusted.tensors(memory, within=run.folder)
    except FileNotFoundError:
        raise UserError(f"{memory} is missing: training wrote it beside the batch") from None
    shapes = {name: tensor.shape for name, tensor in state_tensors(fresh).items()}
    fits = bool(kept) and shapes == {name: tensor.shape for name, tensor in kept.items()}
    before = restore_state(fresh, kept) if fits else fresh
    seen = view.look(algorithm, run.line, before)
    return AlgorithmView(algorithm, before, fits, find_beliefs(fresh) is not None, seen)
