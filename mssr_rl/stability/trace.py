"""The input of the detectors, and the functions they share: columns, windows, references.

Pure functions. The rows are those of metrics.jsonl. A missing key gives NaN, which meets no
condition.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mssr_rl.metric_names import (
    BAD_FORMAT_SHARE,
    ENTROPY,
    ERROR_SHARE,
    GRAD_NORM,
    KL_REF,
    KL_STEP,
    LENGTH_MEAN,
    NO_ANSWER_SHARE,
    REWARD_MEAN,
    TIMEOUT_SHARE,
    TRACKED_VALUE,
    TRACKER_ETA,
    TRUNCATED_SHARE,
    ZERO_ADVANTAGE_SHARE,
)
from mssr_rl.stability.limits import Limits

# The keys of metrics.jsonl that detectors read. A running program keeps only these in memory.
COLUMNS = frozenset(
    {
        "step",
        ENTROPY,
        GRAD_NORM,
        KL_REF,
        KL_STEP,
        ZERO_ADVANTAGE_SHARE,
        TRUNCATED_SHARE,
        LENGTH_MEAN,
        BAD_FORMAT_SHARE,
        ERROR_SHARE,
        REWARD_MEAN,
        NO_ANSWER_SHARE,
        TIMEOUT_SHARE,
        TRACKER_ETA,
        TRACKED_VALUE,
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
    """The metrics, evaluations and recorded responses of a run so far."""

    planned: int  # steps
    rows: Sequence[Mapping[str, Any]]
    marks: Sequence[EvaluationPoint] = ()
    responses: Sequence[RecordedResponse] = ()

    def column(self, key: str) -> Array:
        """Return one of `COLUMNS` as an array over the steps."""
        assert key in COLUMNS, f"{key} is not among the columns that are kept"
        return np.array([row.get(key, np.nan) for row in self.rows], dtype=float)

    @property
    def unanswered(self) -> Array:
        """The share of rollouts without a readable answer, as an array over the steps."""
        bad_format = np.nan_to_num(self.column(BAD_FORMAT_SHARE))
        return self.column(NO_ANSWER_SHARE) + bad_format

    def step(self, index: int) -> int:
        """Return the step of the row at `index`."""
        return int(self.rows[index]["step"])


class Event(NamedTuple):
    """The report of a detector that fired."""

    event: str
    level: Level
    step: int  # the first step that met the definition
    evidence: str
    advice: str


def from_records(
    planned: int,
    metrics: Sequence[Mapping[str, Any]],
    evaluations: Sequence[Mapping[str, Any]] = (),
    samples: Sequence[Mapping[str, Any]] = (),
) -> Trace:
    """Return a run's trace from the rows of metrics.jsonl, eval.jsonl and samples.jsonl."""
    marks = (
        EvaluationPoint(e["step"], e["accuracy"], e["n"])
        for e in evaluations
        if e["split"] == "val"
    )
    shown = (RecordedResponse(s["step"], s["response"]) for s in samples if s["split"] == "train")
    return Trace(planned, metrics, tuple(marks), tuple(shown))


def window_ends(condition: Flags, window: int) -> NDArray[np.intp]:
    """Return every index at which the condition has held `window` times in a row."""
    if len(condition) < window:
        return np.array([], dtype=np.intp)
    in_a_row = np.convolve(condition.astype(int), np.ones(window, dtype=int), "valid")
    return np.flatnonzero(in_a_row == window) + window - 1


def held(condition: Flags, window: int) -> int | None:
    """Return the first index at which the condition has held `window` times in a row, or None."""
    ends = window_ends(condition, window)
    return int(ends[0]) if len(ends) else None


def reference(values: Array, window: int) -> float:
    """Return the median over the first window; NaN while the window is incomplete."""
    return float(np.median(values[:window])) if len(values) >= window else float("nan")


def window_of(trace: Trace, limits: Limits) -> int:
    """Return the window of this run: how many steps in a row a condition must hold."""
    return limits.steps(trace.planned)
