"""Write the headline of a report in words. Pure functions.

The sentences about a single pair of arms come from `mssr_rl.stats.sentences`.
"""

from collections.abc import Sequence
from typing import Any

from mssr_rl.stats.sentences import sentence
from mssr_rl.stats.verdict import Comparison


def headline(comparison: Comparison | None, env: str, at: str) -> str:
    """Return one sentence about all arms; with two arms, the sentence about their pair.

    `at` is the budget in words (see `budget`). `comparison` is None before any run has finished.
    """
    if comparison is None:
        return f"No run on {env} has finished, so there is no verdict yet."
    if not comparison.pairs:
        only = comparison.arms[0]
        return f"On {env} only {only.name} has finished runs: there is nothing to compare it with."
    if len(comparison.pairs) == 1:
        return f"On {env}, {sentence(comparison.pairs[0], comparison.rule, at)}."
    return f"On {env} at {at}: {'; '.join(_clauses(comparison))}."


def top_pair(comparison: Comparison, at: str) -> str:
    """Return the sentence about the two best arms.

    Empty if there are fewer than three arms, or if the arms were only compared with a baseline.
    """
    if len(comparison.arms) < 3 or comparison.rule.baseline is not None:
        return ""
    first, second = comparison.arms[0].name, comparison.arms[1].name
    return f"The two best arms: {sentence(comparison.pair(first, second), comparison.rule, at)}."


def _clauses(comparison: Comparison) -> list[str]:
    beaten: dict[str, list[str]] = {}
    for pair in comparison.pairs:
        if pair.verdict in ("better", "worse"):
            winner, loser = (pair.a, pair.b) if pair.verdict == "better" else (pair.b, pair.a)
            beaten.setdefault(winner, []).append(loser)
    order = [arm.name for arm in comparison.arms if arm.name in beaten]
    clauses = [f"{arm} is better than {both(beaten[arm])}" for arm in order]
    equal = [f"{p.a} and {p.b}" for p in comparison.pairs if p.verdict == "equivalent"]
    if equal:
        clauses.append(f"{'; '.join(equal)} are equivalent within {comparison.rule.size}")
    return [*clauses, *_undecided(comparison)]


def _undecided(comparison: Comparison) -> list[str]:
    open_pairs = [pair for pair in comparison.pairs if pair.verdict == "inconclusive"]
    if not open_pairs:
        return []
    if all(pair.decision is None for pair in comparison.pairs):
        return ["no verdict yet"]
    if len(open_pairs) == len(comparison.pairs):
        return [f"inconclusive for every pair of the {len(comparison.arms)} arms"]
    return [f"{len(open_pairs)} of {len(comparison.pairs)} pairs are inconclusive"]


def both(names: Sequence[str]) -> str:
    """Return names as a list in words: "a, b and c"."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def budget(runs: Sequence[Any]) -> str:
    """Return the rollouts of the finished runs in words, such as "30,720 rollouts"."""
    spent = {run.summary["ledger"]["rollouts"] for run in runs if run.state == "done"}
    if not spent:
        return "an unfinished budget"
    low, high = min(spent), max(spent)
    return f"{low:,} rollouts" if low == high else f"{low:,} to {high:,} rollouts"
