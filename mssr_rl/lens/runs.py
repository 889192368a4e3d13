"""Compute the advantages of several algorithms on a run's recorded batch, for `lens_page`.

An algorithm whose state has the same shape as the run's starts from the run's state before the
step. So the run's own algorithm gives exactly the advantages that it trained on. Other algorithms
start from a new state, and the page says so.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import nearby, untrusted
from mssr_rl.advantage import find_beliefs, restore_state, state_tensors
from mssr_rl.algos import Algorithm
from mssr_rl.config import recorded
from mssr_rl.errors import UserError
from mssr_rl.lens import step_view
from mssr_rl.lens.lines import LensStep, Recording, open_recording
from mssr_rl.lens.step_view import StepView
from mssr_rl.run.recording import FOLDER

STORY = ("token", "prompt", "answer", "response", "extracted", "reason", "images", "reward")


class RecordedRun(NamedTuple):
    """A run directory, and one of its recorded batches."""

    folder: Path
    step: int
    algo: str
    options: Mapping[str, Any]  # options of the run's algorithm
    model: str
    recording: Recording
    line: LensStep


class AlgorithmView(NamedTuple):
    """The advantages and metrics of one algorithm on the batch."""

    algorithm: Algorithm
    before: Any  # its state before the step
    remembers: bool  # whether this state comes from the run
    tracks: bool  # whether the algorithm tracks success rates
    seen: StepView


def open_run(folder: Path, step: int | None) -> RecordedRun:
    """Return the recorded batch of a run at `step`, by default the newest one.

    Raise `UserError` if the step was not recorded, or the recording is damaged.
    """
    steps = recorded_steps(folder)
    if not steps and not (folder / "config.yaml").exists():
        raise nearby.no_run(folder, "is not a run directory")
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
    section = config.get(name)
    if not isinstance(section, dict):
        raise UserError(f"{folder / 'config.yaml'} names no {name}; training wrote one")
    return section


def _refuse_half_a_story(line: LensStep) -> None:
    """Raise `UserError` unless every rollout has all texts, and every token is a whole number."""
    for name in STORY:
        entries = line.record.get(name)
        if not isinstance(entries, list) or len(entries) != len(line.problems):
            raise UserError(f"{line.where}: {name} must be a list with an entry for every rollout")
    for tokens, length in zip(line.record["token"], line.lengths, strict=True):
        if not isinstance(tokens, list) or set(map(type, tokens)) - {int} or len(tokens) != length:
            raise UserError(f"{line.where}: token must give each rollout the numbers of its tokens")


def recorded_steps(folder: Path) -> list[int]:
    """Return the training steps whose batches the run recorded, in order."""
    stems = (path.stem.removeprefix("step_") for path in (folder / FOLDER).glob("step_*.jsonl"))
    return sorted(int(stem) for stem in stems if stem.isdecimal())


def look(run: RecordedRun, chosen: Mapping[str, Algorithm]) -> dict[str, AlgorithmView]:
    """Return {name: the algorithm's advantages and metrics} on the recorded batch."""
    return {name: _look(run, algorithm) for name, algorithm in chosen.items()}


def _look(run: RecordedRun, algorithm: Algorithm) -> AlgorithmView:
    fresh = step_view.first_look(algorithm, run.recording)
    memory = run.folder / FOLDER / f"step_{run.step}.safetensors"
    try:
        kept = untrusted.tensors(memory, within=run.folder)
    except FileNotFoundError:
        raise UserError(f"{memory} is missing: training wrote it beside the batch") from None
    shapes = {name: tensor.shape for name, tensor in state_tensors(fresh).items()}
    fits = bool(kept) and shapes == {name: tensor.shape for name, tensor in kept.items()}
    before = restore_state(fresh, kept) if fits else fresh
    seen = step_view.look(algorithm, run.line, before)
    return AlgorithmView(algorithm, before, fits, find_beliefs(fresh) is not None, seen)
