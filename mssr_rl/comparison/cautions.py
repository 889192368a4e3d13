"""What a reader must know before believing the headline, a sentence each. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mssr_rl.comparison import accuracy
from mssr_rl.comparison.evidence import DROPPED, ComparedRun
from mssr_rl.config import recorded
from mssr_rl.stats.racing import RaceStanding
from mssr_rl.stats.sentences import leaning, underpowered
from mssr_rl.stats.verdict import Comparison, Rule

# Simulated over 30 seeds (`stats.stress`, docs/statistics.md).
LEANING = (
    "Dropping an arm leans on bell-shaped noise. Of arms of equal means 12 % were dropped where "
    "one run of ten of the baseline ends badly, and 4 % where the arm's runs are skewed upwards; "
    "the rule asks for 2.5 % at most."
)
FEW = 5  # seeds; fewer show only large differences


def few(found: Comparison | None) -> Iterator[str]:
    """What few seeds cannot show, and what they may show that is not there."""
    if found is None:
        return
    seeds = min(len(arm.values) for arm in found.arms)
    if seeds < FEW:
        yield f"With {seeds} seed{'s' * (seeds != 1)} an arm only large differences can be shown."
    if said := leaning(found):
        yield said


def unusual(
    runs: Sequence[ComparedRun], split: str, found: Comparison | None, rule: Rule
) -> Iterator[str]:
    """Runs and pairs that are not as planned, named."""
    for what, names in _unusual(runs, split, found, rule).items():
        if names:
            yield f"{what}: {', '.join(names)}."


def problems(runs: Sequence[ComparedRun], split: str, rule: Rule) -> Iterator[str]:
    """Problems that are too few, or that training has seen, by what the runs wrote down."""
    counts = {len(accuracy.right(row)) for run in runs if run.counts and (row := run.last(split))}
    if counts and min(counts) * rule.margin < 1:
        yield (
            f"One answer of {min(counts):,} {split} problems is {100 / min(counts):.2g} points, "
            f"more than the margin of {rule.size}."
        )
    yield from dict.fromkeys(
        said for run in runs if run.files for said in _shared(run.files.run, split)
    )


def dropped(standings: Mapping[str, RaceStanding], unrun: Sequence[str]) -> list[str]:
    """What the race ended; `unrun` names the arm of every run it ruled out, trained or not."""
    said = [
        f"{arm} was out of the race after {one.out_after} seeds (e-value {one.e_value:,.0f}, "
        f"{one.threshold:,.0f} asked), {unrun.count(arm)} later "
        f"run{'s' * (unrun.count(arm) != 1)} not counted."
        for arm, one in standings.items()
        if one.out_after is not None
    ]
    return [*said, LEANING] if said else []


def _unusual(
    runs: Sequence[ComparedRun], split: str, found: Comparison | None, rule: Rule
) -> dict[str, list[str]]:
    collapsed = [r.name for r in runs if r.counts and accuracy.verdict(r) == "collapsed"]
    weak = [
        f"{pair.a} and {pair.b}"
        for pair in (underpowered(found) if found else [])
        if pair.verdict == "inconclusive"
    ]
    return {
        "Missing, and not in the verdict": [
            run.name for run in runs if not run.counts and run.state != DROPPED
        ],
        "Collapsed, and counted with their last evaluation": collapsed,
        "Answers that no reward was given for were left out": [
            f"{run.name} ({run.summary['ledger']['unscorable_rollouts']:,} rollouts in training)"
            for run in runs
            if run.counts and run.summary.get("ledger", {}).get("unscorable_rollouts")
        ],
        "Problems with such an answer are not in the accuracy": [
            f"{run.name} ({row['unscorable']:,} of {split})"
            for run in runs
            if run.counts and (row := run.last(split)) and row.get("unscorable")
        ],
        "Went on after something had changed": [
            f"{run.name} {change.sentence()}"
            for run in runs
            if run.counts and run.files is not None
            for change in recorded.noted(run.files.run)
        ],
        "Decided on val, because these have no test": (
            [run.name for run in runs if run.counts and not run.last("test")]
            if split == "val"
            else []
        ),
        "Without a finished run, so that all pairs were tested against each other": (
            [] if rule.baseline is None or (found and found.rule.baseline) else [rule.baseline]
        ),
        "Underpowered, a difference of 5 margins could have been missed": weak,
    }


def _shared(run: Mapping[str, Any], split: str) -> Iterator[str]:
    """What a run.json says of rows that two splits have in common, where it matters here."""
    for one in _entries(run.get("overlap")):
        ours, theirs, rows = one.get("split"), one.get("with"), one.get("rows")
        if one.get("stands_in") is True:
            yield f"{ours} and {theirs} are one set of problems."
        elif ours == split and isinstance(rows, int) and rows > 0:
            yield f"{rows:,} of {one.get('of')} {ours} problems are also in {theirs}."
    prints = {name: one.get("fingerprint") for name, one in _splits(run.get("data"))}
    for other in ("train", "val", "test"):
        if other != split and prints.get(split) and prints[split] == prints.get(other):
            first, second = sorted((split, other), key=("test", "val", "train").index)
            yield f"{first} and {second} are one set of problems."


def _entries(found: Any) -> list[Mapping[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _splits(found: Any) -> list[tuple[str, Mapping[str, Any]]]:
    splits = found.items() if isinstance(found, dict) else ()
    return [(name, one) for name, one in splits if isinstance(one, dict)]
