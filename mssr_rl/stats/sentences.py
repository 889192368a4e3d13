"""Write sentences about a pair of arms. The numbers come from `verdict` and `familywise`."""

from mssr_rl.stats.intervals import Interval
from mssr_rl.stats.verdict import Comparison, Pair, Rule

# The share of false "better" or "worse" verdicts at a planned look, by number of seeds. The arms
# have equal means, and the noise of one arm is not normal: its runs fall into two groups, one run
# in ten ends badly, or the runs are skewed (`stress`, docs/statistics.md).
MISLED = {
    3: (0.211, 0.079, 0.060),
    4: (0.121, 0.104, 0.069),
    5: (0.065, 0.132, 0.076),
    8: (0.061, 0.171, 0.081),
    10: (0.053, 0.173, 0.084),
}
DIFFERENT = ("better", "worse")
TELLING = 1.1  # smaller exaggerations are not mentioned: the interval is wider than they are


def sentence(pair: Pair, rule: Rule, at: str) -> str:
    """Return the verdict on a pair as one sentence, with its evidence; `at` is the budget in words.

    For example: "mssr and grpo: inconclusive at 2,048 rollouts (+0.6 points, 95 % interval -0.8 to
    +2.0; detecting 1 point takes about 13 seeds in all, 95 % interval 7 to 94)".
    """
    verdict = {
        "better": f"{pair.a} is better than {pair.b} at {at}",
        "worse": f"{pair.a} is worse than {pair.b} at {at}",
        "equivalent": f"{pair.a} and {pair.b}: equivalent within {rule.size} at {at}",
        "inconclusive": f"{pair.a} and {pair.b}: inconclusive at {at}",
    }[pair.verdict]
    return f"{verdict} ({_evidence(pair, rule)})"


def points(difference: Interval) -> str:
    """Return a difference of accuracies in points: "+0.6 points, 95 % interval -0.8 to +2.0"."""
    value, low, high = (f"{100 * x:+.1f}".replace("-", "−") for x in difference)
    return f"{value} points, 95 % interval {low} to {high}"


def more_seeds(pair: Pair, rule: Rule) -> str:
    """Return how many seeds an undecided pair needs, with the range of that number.

    The text is empty if the pair has no outlook.
    """
    if pair.outlook is None:
        return ""
    needed, most = pair.outlook.seeds_to_detect, pair.outlook.most_to_detect
    if needed is None:
        return f"detecting {rule.size} takes more than 1,000 seeds"
    if most is not None and most <= len(pair.seeds):
        return f"enough seeds to detect {rule.size}"
    up_to = "over 1,000" if most is None else f"{most:,}"
    span = f"95 % interval {pair.outlook.fewest_to_detect:,} to {up_to}"
    return f"detecting {rule.size} takes about {needed:,} seeds in all, {span}"


def too_large(pair: Pair) -> str:
    """Return a warning that a decided difference may be too large, with the factor.

    It is empty if the factor is below 1.1, or if there is no decision.
    """
    ratio = pair.decision.exaggeration if pair.decision else None
    if ratio is None or ratio < TELLING:
        return ""
    return (
        "a difference that reaches a verdict is too large on average: if the truth is half of this "
        f"one, it is measured {ratio:.1f} times as large with {len(pair.seeds)} seeds"
    )


def leaning(comparison: Comparison) -> str:
    """Return a warning that the verdicts better and worse assume normal noise.

    It is empty if no pair has one of these verdicts.
    """
    decided = [p.decision.seeds for p in comparison.pairs if p.decision and p.verdict in DIFFERENT]
    if not decided:
        return ""
    seeds = min(MISLED, key=lambda known: (abs(known - min(decided)), known))
    groups, rare, skewed = (f"{100 * share:.3g} %" for share in MISLED[seeds])
    return (
        "The verdicts better and worse assume normally distributed noise. In simulations with "
        f"{seeds} seeds, arms of equal means were called different in {groups} of comparisons "
        f"where the runs of one arm fall into two groups, in {rare} where one run in ten ends "
        f"badly, and in {skewed} where the runs are skewed."
    )


def underpowered(comparison: Comparison) -> list[Pair]:
    """Return the pairs whose seeds could not detect a difference of 5 times the margin."""
    return [
        pair
        for pair in comparison.pairs
        if pair.outlook is None
        or pair.outlook.detectable is None
        or pair.outlook.detectable > 5 * comparison.rule.margin
    ]


def _evidence(pair: Pair, rule: Rule) -> str:
    if pair.test is None:
        return pair.why
    parts = [points(pair.test.interval)]
    if pair.verdict == "inconclusive":
        parts.append(more_seeds(pair, rule))
    return "; ".join(part for part in (*parts, too_large(pair)) if part)
