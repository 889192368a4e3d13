"""A run's trace: which records the detectors see."""

from typing import Any

import numpy as np
import pytest

from mssr_rl.metric_names import ENTROPY
from mssr_rl.stability.trace import EvaluationPoint, RecordedResponse, Trace, from_records, held


def sample(step: int, split: str) -> dict[str, Any]:
    return {"step": step, "split": split, "response": f"{split} {step}"}


def evaluation(step: int, split: str) -> dict[str, Any]:
    return {"step": step, "split": split, "accuracy": step / 10, "n": 64}


def test_responses_are_those_of_training_and_evaluations_those_of_validation() -> None:
    splits = ("train", "val", "test")
    trace = from_records(
        8,
        [{"step": 1}],
        [evaluation(step, split) for step in (1, 2) for split in splits],
        [sample(step, split) for step in (1, 2) for split in splits],
    )
    assert trace.responses == (RecordedResponse(1, "train 1"), RecordedResponse(2, "train 2"))
    assert trace.marks == (EvaluationPoint(1, 0.1, 64), EvaluationPoint(2, 0.2, 64))


def test_a_row_without_a_metric_is_a_gap() -> None:
    trace = Trace(2, [{"step": 1, ENTROPY: 0.5}, {"step": 2}])
    assert np.array_equal(trace.column(ENTROPY), [0.5, np.nan], equal_nan=True)
    assert held(trace.column(ENTROPY) > 0, 2) is None


def test_a_column_that_is_not_kept_in_memory_cannot_be_read() -> None:
    with pytest.raises(AssertionError, match="not among the columns"):
        Trace(1, []).column("actor/lr")
