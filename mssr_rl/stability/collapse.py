"""Collapse: what the policy could do is lost. The only detectors that may end a run."""

from collections.abc import Iterator, Sequence
from math import sqrt

from mssr_rl.stability.limits import Limits
from mssr_rl.stability.trace import EvaluationPoint, Event, Trace, held, reference, window_of

ADVICE = (
    "take the best checkpoint; a smaller train.lr, or a KL term (algo.kl_coef), is the usual way "
    "out"
)


def accuracy_collapse(trace: Trace, limits: Limits) -> Event | None:
    """Two evaluations in a row below the best so far by more than chance and `accuracy_drop`.

    Chance is three standard errors of the difference of two accuracies of p, the best one.
    """
    below = 0
    for best, mark in _with_best(trace.marks):
        p = best.accuracy
        room = max(limits.accuracy_drop, 3 * sqrt(2 * p * (1 - p) / max(mark.n, 1)))
        below = below + 1 if p - mark.accuracy > room else 0
        if below == 2:
            evidence = (
                f"validation accuracy {mark.accuracy:.1%}, the second time in a row more than "
                f"{100 * room:.1f} points below the {p:.1%} of step {best.step}"
            )
            return Event("accuracy_collapse", "collapse", mark.step, evidence, ADVICE)
    return None


def answer_collapse(trace: Trace, limits: Limits) -> Event | None:
    """Rollouts without a readable answer are up by `no_answer_rise` for a window.

    Counted from their reference, so that a model that never kept to the format has lost nothing.
    """
    missing, window = trace.unanswered, window_of(trace, limits)
    start = reference(missing, window)
    found = held(missing >= start + limits.no_answer_rise, window)
    if found is None:
        return None
    evidence = (
        f"{missing[found]:.0%} of the rollouts hold no readable answer, {start:.0%} at the start, "
        f"for {window} steps"
    )
    return Event("answer_collapse", "collapse", trace.step(found), evidence, ADVICE)


def worst_dip(marks: Sequence[EvaluationPoint]) -> float:
    """The most that accuracy ever was below its best so far; 0 for a curve that never falls."""
    return max((best.accuracy - mark.accuracy for best, mark in _with_best(marks)), default=0.0)


def _with_best(
    marks: Sequence[EvaluationPoint],
) -> Iterator[tuple[EvaluationPoint, EvaluationPoint]]:
    """Every evaluation with the best one before it, or itself."""
    best: EvaluationPoint | None = None
    for mark in marks:
        best = mark if best is None or mark.accuracy > best.accuracy else best
        yield best, mark
