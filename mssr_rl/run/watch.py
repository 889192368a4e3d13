"""Gives the metrics of a run to the stability detectors, during the run and at its end."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from mssr_rl.errors import Collapsed
from mssr_rl.run.scoring import Score
from mssr_rl.stability.limits import Limits
from mssr_rl.stability.stability_card import first_collapse, line
from mssr_rl.stability.trace import COLUMNS, Trace, from_records


def kept(row: Mapping[str, float]) -> dict[str, float]:
    """Return only those metrics of a step that the detectors read.

    A run holds them in memory for every step.
    """
    return {sys.intern(key): value for key, value in row.items() if key in COLUMNS}


def trace_so_far(
    planned: int, rows: Sequence[Mapping[str, float]], scores: Sequence[Score]
) -> Trace:
    """Return the trace of all steps and evaluations so far."""
    return from_records(planned, rows, [score._asdict() for score in scores])


def responses(trace: Trace, samples: Sequence[Mapping[str, Any]]) -> Trace:
    """Return the same trace with the responses of samples.jsonl."""
    return trace._replace(responses=from_records(trace.planned, (), (), samples).responses)


def stop_if_collapsed(trace: Trace, limits: Limits, then: str) -> None:
    """Raise `Collapsed` if the policy collapsed; `then` completes the message."""
    event = first_collapse(trace, limits)
    if event is not None:
        raise Collapsed(f"{line(event)}; {then}")
