"""What the detectors read, and the few things they all do with it: columns, windows, references.

Pure. Rows are those of metrics.jsonl; a key that a row lacks is NaN, which meets no condition.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mssr_rl.stability.limits import Limits

# Every key of metrics.jsonl that a detector reads; a run in progress keeps no others in memory.
COLUMNS = frozenset(
    {
        "step",
        "actor/entropy",
        "actor/grad_norm",
        "actor/kl_ref",
        "actor/kl_step",
        "critic/advantages/zero_fraction",
        "response_length/clip_ratio",
        "response_length/mean",
        "reward/bad_format_fraction",
        "reward/error_fraction",
        "reward/mean",
        "reward/no_answer_fraction",
        "reward/timeout_fraction",
        "tracker/eta",
        "tracker/mean",
    }
)

Level = Literal["note", "warn", "collapse"]
Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


class EvaluationPoint(NamedTuple):
    """One evaluation on the validation problems."""

    step: int
    accuracy: float
    n: int


class RecordedResponse(NamedTuple):
    """One recorded training response."""

    step: int
    text: str


class Trace(NamedTuple):
    """A run so far."""

    planned: int  # steps
    rows: Sequence[Mapping[str, Any]]
    marks: Sequence[EvaluationPoint] = ()
    responses: Sequence[RecordedResponse] = ()

    def column(self, key: str) -> Array:
        """A metric over the steps, one of `COLUMNS`."""
        assert key in COLUMNS, f"{key} is not among the columns that are kept"
        return np.array([row.get(key, np.nan) for row in self.rows], dtype=float)

    @property
    def unanswered(self) -> Array:
        """Share of rollouts whose response holds no readable answer, over the steps."""
        bad_format = np.nan_to_num(self.column("reward/bad_format_fraction"))
        return self.column("reward/no_answer_fraction") + bad_format

    def step(self, index: int) -> int:
        """The step of a row."""
        return int(self.rows[index]["step"])


class Event(NamedTuple):
    """Something that was noticed."""

    event: str
    level: Level
    step: int  # the first at which the definition was met
    evidence: str
    advice: str


def from_records(
    planned: int,
    metrics: Sequence[Mapping[str, Any]],
    evaluations: Sequence[Mapping[str, Any]] = (),
    samples: Sequence[Mapping[str, Any]] = (),
) -> Trace:
    """A run's trace from the rows of metrics.jsonl, eval.jsonl and samples.jsonl."""
    marks = (
        EvaluationPoint(e["step"], e["accuracy"], e["n"])
        for e in evaluations
        if e["split"] == "val"
    )
    shown = (RecordedResponse(s["step"], s["response"]) for s in samples if s["split"] == "train")
    return Trace(planned, metrics, tuple(marks), tuple(shown))


def window_ends(condition: Flags, window: int) -> NDArray[np.intp]:
    """Every index at which the condition has held `window` times in a row."""
    if len(condition) < window:
        return np.array([], dtype=np.intp)
    in_a_row = np.convolve(condition.astype(int), np.ones(window, dtype=int), "valid")
    return np.flatnonzero(in_a_row == window) + window - 1


def held(condition: Flags, window: int) -> int | None:
    """The first index at which the condition has held `window` times in a row."""
    ends = window_ends(condition, window)
    return int(ends[0]) if len(ends) else None


def reference(values: Array, window: int) -> float:
    """Median over the first window; NaN while that is not complete."""
    return float(np.median(values[:window])) if len(values) >= window else float("nan")


def window_of(trace: Trace, limits: Limits) -> int:
    """How many steps in a row."""
    return limits.steps(trace.planned)
