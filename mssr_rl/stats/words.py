"""A pair of arms in one sentence; the numbers are `verdict`'s."""

from mssr_rl.stats.intervals import Interval
from mssr_rl.stats.verdict import Comparison, Pair, Rule


def sentence(pair: Pair, rule: Rule, at: str) -> str:
    """For instance: "mssr and grpo: inconclusive at 2,048 rollouts (+0.6 points, 95 % -0.8 to +2.0;
    detecting 1 point needs about 8 more seeds)". `at` names the budget.
    """
    said = {
        "better": f"{pair.a} is better than {pair.b} at {at}",
        "worse": f"{pair.a} is worse than {pair.b} at {at}",
        "equivalent": f"{pair.a} and {pair.b}: equivalent within {rule.size} at {at}",
        "inconclusive": f"{pair.a} and {pair.b}: inconclusive at {at}",
    }[pair.verdict]
    return f"{said} ({_evidence(pair, rule)})"


def points(found: Interval) -> str:
    """A difference of accuracies in points: "+0.6 points, 95 % -0.8 to +2.0"."""
    value, low, high = (f"{100 * x:+.1f}".replace("-", "−") for x in found)
    return f"{value} points, 95 % {low} to {high}"


def more_seeds(pair: Pair, rule: Rule) -> str:
    """What it would take, where it is not decided yet."""
    if pair.outlook is None:
        return ""
    needed = pair.outlook.seeds_to_detect
    if needed is None:
        return f"detecting {rule.size} needs more than 1,000 seeds"
    more = needed - len(pair.seeds)
    if more <= 0:
        return f"enough seeds to detect {rule.size}"
    return f"detecting {rule.size} needs about {more} more seed{'s' * (more != 1)}"


def underpowered(found: Comparison) -> list[Pair]:
    """Pairs whose seeds could not show a difference of 5 margins, were it there."""
    return [
        pair
        for pair in found.pairs
        if pair.outlook is None
        or pair.outlook.detectable is None
        or pair.outlook.detectable > 5 * found.rule.margin
    ]


def _evidence(pair: Pair, rule: Rule) -> str:
    if pair.test is None:
        return pair.why
    parts = [points(pair.test.interval)]
    if pair.verdict == "inconclusive":
        parts.append(more_seeds(pair, rule))
    return "; ".join(parts)
