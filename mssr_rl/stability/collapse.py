"""Detectors of collapse: the policy lost an ability that it had. Only these may end a run."""

from collections.abc import Iterator, Sequence
from math import sqrt

from mssr_rl.stability.limits import Limits
from mssr_rl.stability.trace import EvaluationPoint, Event, Trace, held, reference, window_of

ADVICE = (
    "use the best checkpoint; in the next run, try a smaller train.lr or a KL term (algo.kl_coef)"
)


def accuracy_collapse(trace: Trace, limits: Limits) -> Event | None:
    """Fires if two evaluations in a row are far below the best accuracy so far, p.

    "Far" means by more than `accuracy_drop` and by more than three standard errors of the
    difference. The standard error is computed as if both accuracies were p.
    """
    below = 0
    for best, mark in _with_best(trace.marks):
        p = best.accuracy
        allowed = max(limits.accuracy_drop, 3 * sqrt(2 * p * (1 - p) / max(mark.n, 1)))
        below = below + 1 if p - mark.accuracy > allowed else 0
        if below == 2:
            evidence = (
                f"validation accuracy is {mark.accuracy:.1%}; for the second time in a row it is "
                f"more than {100 * allowed:.1f} points below the best, {p:.1%} at step {best.step}"
            )
            return Event("accuracy_collapse", "collapse", mark.step, evidence, ADVICE)
    return None


def answer_collapse(trace: Trace, limits: Limits) -> Event | None:
    """Fires if the share of rollouts without a readable answer rose by `no_answer_rise`.

    The rise must last for a window. It is measured from the reference at the start of the run. So
    a model that never followed the format does not count as collapsed.
    """
    missing, window = trace.unanswered, window_of(trace, limits)
    start = reference(missing, window)
    index = held(missing >= start + limits.no_answer_rise, window)
    if index is None:
        return None
    evidence = (
        f"{missing[index]:.0%} of the rollouts have no readable answer, against {start:.0%} at the "
        f"start; the share was this high for {window} steps"
    )
    return Event("answer_collapse", "collapse", trace.step(index), evidence, ADVICE)


def worst_dip(marks: Sequence[EvaluationPoint]) -> float:
    """Return how far accuracy fell below its best value before; 0 if it never fell."""
    return max((best.accuracy - mark.accuracy for best, mark in _with_best(marks)), default=0.0)


def _with_best(
    marks: Sequence[EvaluationPoint],
) -> Iterator[tuple[EvaluationPoint, EvaluationPoint]]:
    """Yield (best evaluation so far, evaluation) for every evaluation."""
    best: EvaluationPoint | None = None
    for mark in marks:
        best = mark if best is None or mark.accuracy > best.accuracy else best
        yield best, mark
