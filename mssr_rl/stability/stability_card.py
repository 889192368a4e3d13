"""The stability card of a run: its verdict and its events.

    stable      no event, or notes only
    warned      at least one warning
    collapsed   a collapse, or NaN or infinity in a step

Pure functions. The trainer calls `first_collapse` after every step, and writes the card into
summary.json at the end.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from mssr_rl.stability.collapse import accuracy_collapse, answer_collapse, worst_dip
from mssr_rl.stability.learning import (
    format_only,
    no_signal,
    plateau,
    tracker_lag,
    verifier_trouble,
)
from mssr_rl.stability.limits import Limits
from mssr_rl.stability.policy_detectors import (
    entropy_collapse,
    entropy_explosion,
    grad_spike,
    kl_runaway,
)
from mssr_rl.stability.response_detectors import (
    length_collapse,
    length_runaway,
    repetition,
    truncation,
)
from mssr_rl.stability.trace import Event, Trace

Verdict = Literal["stable", "warned", "collapsed"]
Detector = Callable[[Trace, Limits], Event | None]

COLLAPSES: tuple[Detector, ...] = (accuracy_collapse, answer_collapse)
DETECTORS: tuple[Detector, ...] = (
    *COLLAPSES,
    entropy_collapse,
    entropy_explosion,
    kl_runaway,
    grad_spike,
    length_runaway,
    length_collapse,
    truncation,
    repetition,
    no_signal,
    format_only,
    plateau,
    tracker_lag,
    verifier_trouble,
)


class StabilityCard(NamedTuple):
    """The stability of one run: its verdict and its events."""

    verdict: Verdict
    events: tuple[Event, ...]  # sorted by step
    worst_dip: float  # the largest fall of validation accuracy below its best so far

    def as_dict(self) -> dict[str, Any]:
        """Return the card as plain data for summary.json."""
        return {
            "verdict": self.verdict,
            "events": [event._asdict() for event in self.events],
            "worst_dip": self.worst_dip,
        }


def scorecard(trace: Trace, limits: Limits, non_finite: Event | None = None) -> StabilityCard:
    """Return the card with the events of all detectors.

    `non_finite` is the event of a run that `check_finite` stopped.
    """
    fired = [event for detect in DETECTORS if (event := detect(trace, limits)) is not None]
    fired += [non_finite] if non_finite is not None else []
    events = tuple(sorted(fired, key=lambda event: event.step))
    return StabilityCard(verdict_of(events), events, worst_dip(trace.marks))


def verdict_of(events: Sequence[Event]) -> Verdict:
    """Return the verdict that the worst of the events gives; "stable" without a warning."""
    levels = {event.level for event in events}
    return "collapsed" if "collapse" in levels else "warned" if "warn" in levels else "stable"


def first_collapse(trace: Trace, limits: Limits) -> Event | None:
    """Return the earliest collapse, or None; with `stability.stop=collapse` it ends the run."""
    fired = [event for detect in COLLAPSES if (event := detect(trace, limits)) is not None]
    return min(fired, key=lambda event: event.step, default=None)


def not_finite(step: int, reason: str) -> Event:
    """Return the event of a step in which `check_finite` found NaN or infinity."""
    advice = "in the next run, try a smaller train.lr or train.max_grad_norm"
    return Event("non_finite", "collapse", step, reason, advice)


def line(event: Event) -> str:
    """Return an event as one line of text."""
    return f"{event.event} at step {event.step}: {event.evidence}; {event.advice}"
