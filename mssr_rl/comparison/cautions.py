"""Write the cautions of a report: sentences that limit what its headline means. Pure functions.

`version_1` finds some of these sentences by their first words. If those words change, old
comparisons can no longer be verified, and tests/comparison/test_report_versions.py fails.
"""

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
    "The rule that drops an arm assumes normally distributed noise, and promises to drop at most "
    "2.5 % of arms that equal the baseline. In simulations it dropped 12 % where one in ten runs "
    "of the baseline ends badly, and 4 % where the arm's runs are skewed upwards."
)
FEW = 5  # seeds; with fewer, only large differences can be shown


def few(comparison: Comparison | None) -> Iterator[str]:
    """Yield cautions about few seeds: differences can be missed, or appear by chance."""
    if comparison is None:
        return
    seeds = min(len(arm.values) for arm in comparison.arms)
    if seeds < FEW:
        per_arm = f"{seeds} seed{'s' * (seeds != 1)} per arm"
        yield f"With {per_arm}, only large differences can be shown."
    if caution := leaning(comparison):
        yield caution


def unusual(
    runs: Sequence[ComparedRun], split: str, comparison: Comparison | None, rule: Rule
) -> Iterator[str]:
    """Yield cautions that name unusual runs and pairs, such as missing and collapsed runs."""
    for what, names in _unusual(runs, split, comparison, rule).items():
        if names:
            yield f"{what}: {', '.join(names)}."


def problems(runs: Sequence[ComparedRun], split: str, rule: Rule) -> Iterator[str]:
    """Yield cautions about the problems: there are few, or some are also in the training data."""
    counts = {len(accuracy.right(row)) for run in runs if run.counts and (row := run.last(split))}
    if counts and min(counts) * rule.margin < 1:
        yield (
            f"With {min(counts):,} {split} problems, one answer changes the accuracy by "
            f"{100 / min(counts):.2g} points, more than the margin of {rule.size}."
        )
    yield from dict.fromkeys(
        caution for run in runs if run.files for caution in _shared(run.files.run, split)
    )


def dropped(standings: Mapping[str, RaceStanding], unrun: Sequence[str]) -> list[str]:
    """Return one caution for each arm that the race dropped.

    `unrun` has one entry for each run that does not count because of the race: the name of its arm.
    """
    lines = [
        f"{arm} was out of the race after {one.out_after} seeds (e-value {one.e_value:,.0f}, "
        f"{one.threshold:,.0f} required), {unrun.count(arm)} later "
        f"run{'s' * (unrun.count(arm) != 1)} not counted."
        for arm, one in standings.items()
        if one.out_after is not None
    ]
    return [*lines, LEANING] if lines else []


def _unusual(
    runs: Sequence[ComparedRun], split: str, comparison: Comparison | None, rule: Rule
) -> dict[str, list[str]]:
    collapsed = [r.name for r in runs if r.counts and accuracy.verdict(r) == "collapsed"]
    weak = [
        f"{pair.a} and {pair.b}"
        for pair in (underpowered(comparison) if comparison else [])
        if pair.verdict == "inconclusive"
    ]
    return {
        "Missing, and not in the verdict": [
            run.name for run in runs if not run.counts and run.state != DROPPED
        ],
        "Collapsed, and counted with their last evaluation": collapsed,
        "Responses without a reward were left out": [
            f"{run.name} ({run.summary['ledger']['unscorable_rollouts']:,} rollouts in training)"
            for run in runs
            if run.counts and run.summary.get("ledger", {}).get("unscorable_rollouts")
        ],
        "Problems with such a response are not in the accuracy": [
            f"{run.name} ({row['unscorable']:,} of {split})"
            for run in runs
            if run.counts and (row := run.last(split)) and row.get("unscorable")
        ],
        "Continued after something had changed": [
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
            []
            if rule.baseline is None or (comparison and comparison.rule.baseline)
            else [rule.baseline]
        ),
        "Underpowered, a difference of 5 times the margin could have been missed": weak,
    }


def _shared(run: Mapping[str, Any], split: str) -> Iterator[str]:
    """Yield cautions about problems that two splits share, from the content of a run.json."""
    for one in _entries(run.get("overlap")):
        ours, theirs, rows = one.get("split"), one.get("with"), one.get("rows")
        if one.get("stands_in") is True:
            yield f"{ours} and {theirs} are the same set of problems."
        elif ours == split and isinstance(rows, int) and rows > 0:
            yield f"{rows:,} of {one.get('of')} {ours} problems are also in {theirs}."
    prints = {name: one.get("fingerprint") for name, one in _splits(run.get("data"))}
    for other in ("train", "val", "test"):
        if other != split and prints.get(split) and prints[split] == prints.get(other):
            first, second = sorted((split, other), key=("test", "val", "train").index)
            yield f"{first} and {second} are the same set of problems."


def _entries(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _splits(value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    splits = value.items() if isinstance(value, dict) else ()
    return [(name, one) for name, one in splits if isinstance(one, dict)]
