"""Familywise correction: all verdicts of a report are one family of tests.

The family holds every pair of arms on every environment, and on the mean over environments. Five
equal arms were simulated with five seeds on nine environments. If each environment was corrected
alone, a third of these comparisons gave some false verdict. So Holm's method runs here over all
pairs of all environments. It covers both questions about a pair: "is there a difference?" and "is
the difference below the margin?".

The two null hypotheses of one pair cannot both be true: a difference of 0 is below the margin. So
each step multiplies p by the number of pairs with an open question, not by the number of questions
(Shaffer 1986, doi 10.1080/01621459.1986.10478341). The chance of any false verdict, of either kind,
is then at most the level.
"""

from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from mssr_rl.stats import power
from mssr_rl.stats.paired import Spread, spread, t_test, tost
from mssr_rl.stats.power import Outlook
from mssr_rl.stats.sequential import FEWEST, FIRST, Analysis, looks
from mssr_rl.stats.verdict import (
    Comparison,
    Decision,
    Pair,
    Rule,
    Values,
    decide,
    differences,
)

Key = tuple[str, str, str]  # environment, a, b
K = TypeVar("K", bound=Hashable)
# Looks that the outlook searches. The eighth doubles the planned seeds seven times (128 times).
MOST_LOOKS = 8


class Both(NamedTuple):
    """The p-values of a pair's two questions: t-test and TOST."""

    difference: float
    equivalence: float


class EnvironmentValues(NamedTuple):
    """The data of one environment, and the pairs of arms to test on it."""

    values: Values  # arm -> seed -> accuracy
    pairs: Sequence[tuple[str, str]]
    resolution: float  # the smallest step between two values, as in `judge`


class Stage(NamedTuple):
    """The planned seeds of a comparison, and its newest look."""

    planned: int  # number of seeds planned at the start
    look: Analysis | None  # the newest look; None before the first
    seeds: Collection[int]  # the seeds that the look uses


def adjusted(tests: Mapping[K, Both]) -> dict[K, Both]:
    """Return the p-values adjusted by Holm's step-down method, over all pairs and questions."""
    ordered = sorted(
        (p, i, pair) for pair, both in enumerate(tests.values()) for i, p in enumerate(both)
    )
    unanswered = [2] * len(tests)
    adjusted_p = [[1.0, 1.0] for _ in tests]
    largest = 0.0
    for p, i, pair in ordered:
        largest = max(largest, min(1.0, p * sum(left > 0 for left in unanswered)))
        adjusted_p[pair][i] = largest
        unanswered[pair] -= 1
    return {pair: Both(*both) for pair, both in zip(tests, adjusted_p, strict=True)}


def decided(
    comparisons: Mapping[str, Comparison], resolution: Mapping[str, float], stage: Stage
) -> dict[str, Comparison]:
    """Return {environment: comparison} with the verdicts of the newest look.

    The p-values are corrected over the whole family. The verdicts in `comparisons` are fixed
    readings. They treat the present seeds as planned, and each environment alone. The result keeps
    them in `Pair.fixed`. `resolution` is {environment: smallest step between two values}.
    """
    decided_pairs: dict[Key, Decision] = {}
    if stage.look is not None:
        environments = {env: _asked(on, resolution[env]) for env, on in comparisons.items()}
        margin = next((on.rule.margin for on in comparisons.values()), Rule().margin)
        decided_pairs = decisions(environments, stage.look, stage.seeds, margin)
    family = max(1, sum(pair.test is not None for on in comparisons.values() for pair in on.pairs))
    return {
        env: on._replace(
            pairs=tuple(
                _worded(pair, decided_pairs.get((env, pair.a, pair.b)), on.rule, stage)._replace(
                    outlook=_outlook(pair, on.rule, family, stage)
                )
                for pair in on.pairs
            )
        )
        for env, on in comparisons.items()
    }


def decisions(
    environments: Mapping[str, EnvironmentValues],
    look: Analysis,
    seeds: Collection[int],
    margin: float,
) -> dict[Key, Decision]:
    """Return the decision for every pair on every environment; only the look's `seeds` are used."""
    spreads = {
        (env, a, b): pair_spread
        for env, one in environments.items()
        for a, b in one.pairs
        if (pair_spread := _spread(one, (a, b), seeds)) is not None and pair_spread.seeds >= FEWEST
    }
    tests = {
        key: Both(t_test(pair_spread), tost(pair_spread, margin))
        for key, pair_spread in spreads.items()
    }
    return {key: _decision(spreads[key], p, look, len(tests)) for key, p in adjusted(tests).items()}


def _asked(on: Comparison, resolution: float) -> EnvironmentValues:
    values = {arm.name: arm.values for arm in on.arms}
    return EnvironmentValues(values, [(pair.a, pair.b) for pair in on.pairs], resolution)


def _spread(
    environment: EnvironmentValues, pair: tuple[str, str], seeds: Collection[int]
) -> Spread | None:
    a, b = (
        {seed: x for seed, x in environment.values.get(arm, {}).items() if seed in seeds}
        for arm in pair
    )
    return spread(differences(a, b), environment.resolution)


def _decision(differences: Spread, p: Both, look: Analysis, family: int) -> Decision:
    verdict = decide(differences.mean, p.difference, p.equivalence, look.level)
    # Half, because differences that reach a verdict are too large on average (docs/statistics.md).
    half = power.Truth(abs(differences.mean) / 2, differences.sd)
    exaggeration = None
    if verdict in ("better", "worse"):
        exaggeration = power.exaggeration(half, differences.seeds, look.level / family)
    return Decision(
        verdict=verdict,
        look=look.number,
        seeds=differences.seeds,
        level=look.level,
        family=family,
        p=p.difference,
        p_equivalence=p.equivalence,
        exaggeration=exaggeration,
    )


def _worded(pair: Pair, decision: Decision | None, rule: Rule, stage: Stage) -> Pair:
    if pair.test is None or (decision is None and len(pair.seeds) < FEWEST):
        return pair  # the pair already says why it has no verdict
    if decision is None and stage.look is not None:
        why = f"fewer than {FEWEST} of the first {stage.look.seeds} seeds are in both arms"
        return pair._replace(verdict="inconclusive", why=why)
    if decision is None:
        first = next(looks(stage.planned, rule.alpha))
        why = (
            f"no verdict yet: it needs all runs of the first {first.seeds} seeds, and "
            f"{len(pair.seeds)} seeds are finished in both arms"
        )
        return pair._replace(verdict="inconclusive", why=why)
    return pair._replace(verdict=decision.verdict, why=_why(decision, rule), decision=decision)


def _why(decision: Decision, rule: Rule) -> str:
    """Return the reason for the verdict, as a part of a sentence."""
    over = f"adjusted over {decision.family} pairs" if decision.family > 1 else "one pair"
    at = f"look {decision.look}, {decision.seeds} seeds, requires p below {decision.level:.3g}"
    if decision.verdict == "equivalent":
        p = f"TOST p {decision.p_equivalence:.2g}"
        return f"the difference is below {rule.size} ({p}, {over}; {at})"
    if decision.verdict != "inconclusive":
        return f"the seeds agree (paired t p {decision.p:.2g}, {over}; {at})"
    return (
        f"neither a difference (paired t p {decision.p:.2g}) nor equivalence within {rule.size} "
        f"(TOST p {decision.p_equivalence:.2g}) is shown ({over}; {at})"
    )


def _outlook(pair: Pair, rule: Rule, family: int, stage: Stage) -> Outlook | None:
    if pair.test is None or pair.outlook is None:
        return pair.outlook
    sd = pair.test.sd
    outlook = power.outlook(
        power.SpreadEstimate(sd, len(pair.seeds)), rule.margin, FIRST * rule.alpha / family
    )
    later_looks = islice(looks(stage.planned, rule.alpha), MOST_LOOKS)
    seeds_of_looks = (
        look.seeds
        for look in later_looks
        if (stage.look is None or look.number > stage.look.number)
        and power.of_t_test(rule.margin / sd, look.seeds, look.level / family) >= power.POWER
    )
    return outlook._replace(look_to_detect=next(seeds_of_looks, None))
