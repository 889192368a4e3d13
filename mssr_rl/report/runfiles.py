"""Read a run's folder for a report; the run may still be writing.

Only config.yaml and run.json must exist; they are written before the first step. A line that is not
a JSON object (for example because a kill cut it short) is skipped and counted.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from mssr_rl import nearby, untrusted
from mssr_rl.errors import UserError
from mssr_rl.run_streams import STREAMS, any_rows

Row = Mapping[str, Any]

BEYOND = 1e15  # a step this large is an error


Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]


class _Tagged(msgspec.Struct):
    n: Count = 0
    accuracy: Share | None = None
    accuracy_sampled: Share | None = None


class _Evaluation(msgspec.Struct):
    """The fields of a line of eval.jsonl, with which the untrusted file is checked."""

    env: str = ""
    split: str = "val"
    n: Count = 0
    accuracy: Share | None = None
    accuracy_sampled: Share | None = None
    samples: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 1
    per_problem: dict[str, Share] = {}
    per_problem_sampled: dict[str, Annotated[float, msgspec.Meta(ge=0, le=10**6)]] = {}
    by_tag: dict[str, dict[str, _Tagged]] = {}


class _Event(msgspec.Struct):
    event: str
    level: str
    step: float
    evidence: str
    advice: str


class _Stability(msgspec.Struct):
    events: list[_Event] = []


class _Summary(msgspec.Struct):
    """The fields of summary.json that the page uses."""

    stability: _Stability = msgspec.field(default_factory=_Stability)


def _is_evaluation(row: Row) -> bool:
    try:
        msgspec.convert(row, _Evaluation)
    except msgspec.ValidationError:
        return False
    return True


def _is_measured(row: Row) -> bool:
    """Return whether every value of a line of metrics.jsonl is a number or null."""
    return not set(map(type, row.values())) - {int, float, bool, type(None)}


FITS: Mapping[str, Callable[[Row], bool]] = {
    "metrics": _is_measured,
    "eval": _is_evaluation,
    "samples": bool,  # shown as text, whatever it is
}


class RunFiles(NamedTuple):
    """The content of a run's folder."""

    folder: Path
    config_text: str
    run: Row
    metrics: tuple[Row, ...]
    evaluations: tuple[Row, ...]
    samples: tuple[Row, ...]
    summary: Row  # empty until the run ends
    skipped: tuple[str, ...]  # a sentence per file with unreadable lines

    @property
    def last_step(self) -> int:
        """The newest recorded training step; 0 before the first."""
        return max((int(row["step"]) for row in self.metrics), default=0)


class Lines(NamedTuple):
    """The objects of a JSON-lines file, and the number of lines that could not be read."""

    rows: tuple[Row, ...]
    bad: int


class RunDocuments(NamedTuple):
    """The files of a run that are not streams."""

    config_text: str
    run: Row
    summary: Row  # empty until the run ends


def read_documents(folder: Path) -> RunDocuments:
    """Return config.yaml, run.json and summary.json. Raise UserError if `folder` holds no run."""
    if not folder.is_dir():
        raise nearby.no_run(folder, "does not exist")
    return RunDocuments(_required(folder, "config.yaml"), _run(folder), _summary(folder))


def read_run(folder: Path) -> RunFiles:
    """Return the content of a run's folder. Raise UserError if `folder` holds no run."""
    folder = folder.resolve()
    documents = read_documents(folder)
    files = {name: _lines(folder, name) for name in STREAMS}
    return RunFiles(
        folder=folder,
        **documents._asdict(),
        metrics=_by_step(files["metrics"].rows),
        evaluations=files["eval"].rows,
        samples=files["samples"].rows,
        skipped=tuple(_complaint(name, lines) for name, lines in files.items() if lines.bad),
    )


def _required(folder: Path, name: str) -> str:
    try:
        return untrusted.text(folder / name, within=folder)
    except FileNotFoundError:
        raise _no_run(folder, name) from None


def _run(folder: Path) -> Row:
    try:
        return _object(folder, "run.json")
    except FileNotFoundError:
        raise _no_run(folder, "run.json") from None


def _no_run(folder: Path, name: str) -> UserError:
    return nearby.no_run(folder, f"has no {name}, so it is not a run directory")


def _object(folder: Path, name: str) -> Row:
    return untrusted.read_object(folder / name, within=folder)


def _summary(folder: Path) -> Row:
    try:
        found = _object(folder, "summary.json")
        msgspec.convert(found, _Summary)
    except FileNotFoundError:
        return {}
    except msgspec.ValidationError as error:
        raise UserError(
            f"{folder / 'summary.json'} is not as training writes it: {error}"
        ) from None
    return found


def _lines(folder: Path, name: str) -> Lines:
    rows: list[Row] = []
    bad = 0
    with suppress(FileNotFoundError):
        for row in any_rows(folder, name):
            if row is not None and is_step(row.get("step")) and FITS[name](row):
                rows.append(row)
            else:
                bad += 1
    return Lines(tuple(rows), bad)


def is_step(found: object) -> bool:
    """Return whether a value can be the number of a step."""
    return isinstance(found, int | float) and not isinstance(found, bool) and 0 <= found < BEYOND


def _by_step(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    # A resumed run may repeat the steps after its checkpoint: the newest record of a step counts.
    newest = {int(row["step"]): row for row in rows}
    return tuple(newest[step] for step in sorted(newest))


def _complaint(name: str, lines: Lines) -> str:
    count = f"{lines.bad} line" + ("s" if lines.bad > 1 else "")
    return (
        f"{count} of {name}.jsonl could not be read and {'are' if lines.bad > 1 else 'is'} left out"
    )
