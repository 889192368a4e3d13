"""Builds summary.json, the result of a run, from its evaluations and its ledger. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mssr_rl.config import Config, to_dict
from mssr_rl.config.recorded import Changed
from mssr_rl.engine.openrlhf.placement import placement
from mssr_rl.run.checkpoint import TrainState
from mssr_rl.run.scoring import Score
from mssr_rl.stability.stability_card import StabilityCard, line
from mssr_rl.stability.trace import Event


class Ending(NamedTuple):
    """How a run ended."""

    status: str  # done, interrupted, collapsed
    reason: str
    stability: StabilityCard
    changes: Sequence[Changed] = ()  # made between stops and resumptions of the run


def summary(config: Config, state: TrainState, ending: Ending) -> dict[str, Any]:
    """Return the content of summary.json."""
    val = [score for score in state.scores if score.split == "val"]
    start, final = (val[0] if val else None), (val[-1] if val else None)
    return {
        "algo": config.algo.name,
        "env": config.env.name,
        "seed": config.seed,
        "recipe": config.recipe,
        "steps": state.step,
        "status": ending.status,
        "exit_reason": ending.reason,
        "warm_start": {"val": accuracies(start)},
        "final": {"val": accuracies(final), "test": accuracies(last(state.scores, "test"))},
        "best": {"val": best(val)},
        "gain": {"val": gain(start, final)},
        "ledger": {
            **state.ledger.as_dict(),
            "verifier_seconds": state.ledger.verifier_seconds,
            "gpu_seconds": state.ledger.seconds * gpus(config),
        },
        "stability": ending.stability.as_dict(),
        "changes": [change._asdict() for change in ending.changes],
        "config": to_dict(config),
    }


def gpus(config: Config) -> int:
    """Return how many GPUs a run holds."""
    if not config.engine.device.startswith("cuda"):
        return 0
    return placement(config).bundles if config.engine.name == "openrlhf" else 1


def last(scores: Sequence[Score], split: str) -> Score | None:
    """Return the newest score of a split, or None if there is none."""
    return next((score for score in reversed(scores) if score.split == split), None)


def accuracies(score: Score | None) -> dict[str, float] | None:
    """Return both accuracies of one evaluation; None without an evaluation."""
    if score is None:
        return None
    return {
        "step": score.step,
        "n": score.n,
        "accuracy": score.accuracy,
        "accuracy_sampled": score.accuracy_sampled,
        "samples": score.samples,
    }


def best(scores: Sequence[Score]) -> dict[str, float] | None:
    """Return the highest accuracy of each kind, and the step where it was reached.

    The value is optimistic: the best step is chosen on the problems that also measure it.
    """
    if not scores:
        return None
    greedy = max(scores, key=lambda score: score.accuracy)
    sampled = max(scores, key=lambda score: score.accuracy_sampled)
    return {
        "accuracy": greedy.accuracy,
        "step": greedy.step,
        "accuracy_sampled": sampled.accuracy_sampled,
        "step_sampled": sampled.step,
    }


def gain(start: Score | None, final: Score | None) -> dict[str, float] | None:
    """Return final minus initial accuracy; None unless there were two evaluations."""
    if start is None or final is None or start.step == final.step:
        return None
    return {
        "accuracy": final.accuracy - start.accuracy,
        "accuracy_sampled": final.accuracy_sampled - start.accuracy_sampled,
    }


def closing_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the summary as a few lines for the terminal."""
    ledger, gained = document["ledger"], document["gain"]["val"]
    spent = f"{ledger['rollouts']:,} rollouts, {ledger['updates']:,} updates"
    lines = [
        f"ended   {document['status']}: {document['exit_reason']}",
        f"spent   {spent}, {ledger['seconds']:.0f} s of training",
    ]
    if gained is not None:
        lines.append(
            f"val     {gained['accuracy'] * 100:+.1f} points greedy, "
            f"{gained['accuracy_sampled'] * 100:+.1f} sampled, from the start to the end"
        )
    return [*lines, *stability_lines(document["stability"])]


def stability_lines(stability: Mapping[str, Any]) -> list[str]:
    """Return one line per event, except collapses.

    The reason for the end of the run already names a collapse.
    """
    return [
        f"{event['level']:<8}{line(Event(**event))}"
        for event in stability["events"]
        if event["level"] != "collapse"
    ]
