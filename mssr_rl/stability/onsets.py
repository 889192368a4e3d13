"""The outcomes of the study of collapse, fixed before any run: when a run collapses, and how.

    entropy      entropy below 0.3 of its start, and no new best accuracy      (`entropy_collapse`)
    validation   two evaluations in a row 5 points and 3 standard errors below the best so far
                                                                               (`accuracy_collapse`)
    explosion    entropy above 3 times its start, KL above its limit, or NaN or infinity
                                                         (`entropy_explosion`, `kl_runaway`)
    any          the first of these

An outcome is the number of optimiser updates until the event. A run without it is censored at its
last update. The thresholds are the defaults of `limits`, whatever a run's own options say, so that
all runs are measured alike. docs/stability.md has the definitions. Pure functions.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mssr_rl.metric_names import budget_name
from mssr_rl.stability.collapse import accuracy_collapse
from mssr_rl.stability.limits import Limits
from mssr_rl.stability.policy_detectors import entropy_collapse, entropy_explosion, kl_runaway
from mssr_rl.stability.trace import Event, Trace, from_records
from mssr_rl.stats.survival import Lifetime

ANY = "any"
OUTCOMES: Mapping[str, tuple[Callable[[Trace, Limits], Event | None], ...]] = {
    "entropy": (entropy_collapse,),
    "validation": (accuracy_collapse,),
    "explosion": (entropy_explosion, kl_runaway),
}


def onsets(
    planned: int,
    metrics: Sequence[Mapping[str, Any]],
    evaluations: Sequence[Mapping[str, Any]],
    *,
    broken: bool = False,
) -> dict[str, Lifetime]:
    """Return {outcome: updates until it} of one run, for every outcome and for "any".

    `planned` is the planned number of steps. `metrics` and `evaluations` are the rows of
    metrics.jsonl and eval.jsonl. `broken` says that NaN or infinity ended the run.
    """
    trace, limits = from_records(planned, metrics, evaluations), Limits()
    spent = budget_name("updates")
    updates = {int(row["step"]): int(row[spent]) for row in metrics if spent in row}
    end = max(updates.values(), default=0)
    lives = {}
    for outcome, detectors in OUTCOMES.items():
        events = [event for detect in detectors if (event := detect(trace, limits)) is not None]
        at = [updates.get(event.step, end) for event in events]
        if outcome == "explosion" and broken:
            at.append(end)
        lives[outcome] = Lifetime(min(at), True) if at else Lifetime(end, False)
    first = min((life for life in lives.values() if life.happened), default=Lifetime(end, False))
    return {**lives, ANY: first}
