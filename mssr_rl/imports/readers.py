"""Read logs of other trainers as rows of numbers by step.

    json lines            EasyR1 (nested), verl's file logger ({"step", "data"}), our metrics.jsonl
    trainer_state.json    TRL and other programs on transformers' Trainer: log_history
    events                TensorBoard: a file with "tfevents" in its name, or a folder of such files
    csv                   a header and a column of steps, as Weights & Biases exports them

Rows with the same step are merged, because evaluations are often written after training metrics.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import untrusted
from mssr_rl.errors import UserError
from mssr_rl.typed import dotted

STEPS = ("step", "Step", "_step", "global_step", "train/global_step", "training/global_step")

FILE_BYTES = 2**28  # limit for a log: about a million steps of 20 numbers
LARGEST = 1e15  # larger values and steps are ignored

Numbers = dict[str, float]

_MALFORMED = (ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError,
              csv.Error)  # fmt: skip


class ImportedRun(NamedTuple):
    """The content of a log: its rows of numbers by step."""

    format: str  # a description of the format
    rows: dict[int, Numbers]  # by step, in order

    @property
    def names(self) -> list[str]:
        """All recorded metric names, in the order of their first appearance."""
        return list(dict.fromkeys(name for numbers in self.rows.values() for name in numbers))


def read_log(path: Path, step: str | None = None) -> ImportedRun:
    """Return the content of the log in `path`.

    `step` names the column of steps; it is only needed if that column has no usual name.

    Raises:
        UserError: the file does not exist, or holds no numbers by step.
    """
    if not path.exists():
        raise UserError(f"{path} does not exist; name the file that the other trainer wrote")
    rows: dict[int, Numbers] = {}
    try:
        kind, pairs = _pairs(path, step)
        for at, numbers in pairs:
            rows.setdefault(at, {}).update(numbers)
    except _MALFORMED as error:
        raise UserError(f"{path} cannot be read: {type(error).__name__}: {error}") from None
    if not any(rows.values()):
        raise UserError(
            f"{path} was read as {kind} and holds no numbers by step; is there a column of steps? "
            f"Known names of it: {', '.join(STEPS)}; step=NAME names another"
        )
    return ImportedRun(kind, dict(sorted(rows.items())))


def _pairs(path: Path, step: str | None) -> tuple[str, Iterable[tuple[int, Numbers]]]:
    if path.is_dir() or "tfevents" in path.name:
        return "TensorBoard events", _events(path)
    if path.suffix == ".csv":
        return "csv", _csv(path, step)
    text = _text(path)
    if path.suffix == ".json":
        return "trainer_state.json", _trainer_state(path, text)
    lines = [_object(path, i, line) for i, line in enumerate(text.split("\n"), 1) if line.strip()]
    return _kind(lines), (pair for line in lines if (pair := _of_line(line, step)))


# ---- json lines ----


def _kind(lines: list[dict[str, Any]]) -> str:
    first = lines[0] if lines else {}
    if isinstance(first.get("data"), dict):
        return "json lines of verl"
    nested = any(isinstance(value, dict) for value in first.values())
    return "nested json lines, as EasyR1 writes them" if nested else "json lines"


def _of_line(line: dict[str, Any], step: str | None) -> tuple[int, Numbers] | None:
    inner = line.get("data")
    numbers = dict(_flat(line if not isinstance(inner, dict) else {**inner, **_rest(line)}))
    return _split(numbers, step)


def _rest(line: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in line.items() if key != "data"}


def _flat(tree: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield (name, number) for every number of a nested object.

    A name is the path to the number, such as "actor/kl_loss".
    """
    for path, value in dotted(tree, between="/"):
        if isinstance(value, int | float) and not isinstance(value, bool) and _counts(value):
            yield path, float(value)


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise UserError(f"line {number} of {path} is not JSON: {error}") from None
    if not isinstance(entry, dict):
        raise UserError(f"line {number} of {path} is not a JSON object")
    return entry


# ---- the others ----


def _trainer_state(path: Path, text: str) -> Iterator[tuple[int, Numbers]]:
    try:
        history = json.loads(text)["log_history"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not a trainer_state.json with a log_history: {error!r}"
        ) from None
    for entry in history:
        pair = _split(dict(_flat(entry)), "step")
        if pair:
            yield pair


def _csv(path: Path, step: str | None) -> Iterator[tuple[int, Numbers]]:
    for row in csv.DictReader(_text(path).splitlines()):
        numbers = {
            name: number for name, cell in row.items() if name and _counts(number := _cell(cell))
        }
        pair = _split(numbers, step)
        if pair:
            yield pair


def _events(path: Path) -> Iterator[tuple[int, Numbers]]:
    from tensorboard.backend.event_processing import event_accumulator  # slow to import

    for file in path.iterdir() if path.is_dir() else [path]:
        if "tfevents" in file.name:
            untrusted.content(file, FILE_BYTES)  # refuses pipes and devices, which could block
    events = event_accumulator.EventAccumulator(str(path), size_guidance={"scalars": 0})
    events.Reload()
    for name in events.Tags()["scalars"]:
        for scalar in events.Scalars(name):
            if _counts(scalar.value) and scalar.step >= 0:
                yield int(scalar.step), {name: float(scalar.value)}


# ---- shared ----


def _split(numbers: Numbers, step: str | None) -> tuple[int, Numbers] | None:
    """Return (step, the other numbers) of a row; None if the row has no step."""
    name = next((name for name in ((step,) if step else STEPS) if name in numbers), None)
    if name is None or numbers[name] < 0:
        return None
    return int(numbers[name]), {key: x for key, x in numbers.items() if key != name}


def _cell(cell: str | None) -> float:
    try:
        return float(cell or "nan")
    except ValueError:
        return float("nan")


def _counts(number: float) -> bool:
    return isfinite(number) and abs(number) <= LARGEST


def _text(path: Path) -> str:
    try:
        return untrusted.content(path, FILE_BYTES).decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(
            f"{path} is not text; json lines, .json, .csv and TensorBoard events can be read"
        ) from None
