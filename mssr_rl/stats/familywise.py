"""All words of a report are one family: every pair on every environment, and on their mean.

Five equal arms with five seeds on nine environments gave some false word in a third of comparisons
when each environment was adjusted alone. Here Holm's method runs over all pairs of all environments
and over both questions about a pair, "is there a difference?" and "is it below the margin?".

The two answers to one pair cannot both be false: a difference of 0 is below the margin. So each
step multiplies by the number of pairs that still have an open question, not by that of questions
(Shaffer 1986, doi 10.1080/01621459.1986.10478341). The chance of any false word, of either kind, is
then the level at most.
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
MOST_LOOKS = 8  # after seven doublings nobody asks for another


class Both(NamedTuple):
    """The p-values of a pair's two questions."""

    difference: float
    equivalence: float


class EnvironmentValues(NamedTuple):
    """What is asked on one environment."""

    values: Values  # arm -> seed -> accuracy
    pairs: Sequence[tuple[str, str]]
    resolution: float  # the smallest step of the values, as `judge` takes it


class Stage(NamedTuple):
    """How far a comparison has come."""

    planned: int  # seeds, when it began
    look: Analysis | None  # the newest; None before the first
    seeds: Collection[int]  # the look's own


def adjusted(tests: Mapping[K, Both]) -> dict[K, Both]:
    """Step-down adjusted p-values over all pairs and both questions."""
    ordered = sorted(
        (p, i, pair) for pair, both in enumerate(tests.values()) for i, p in enumerate(both)
    )
    unanswered = [2] * len(tests)
    found = [[1.0, 1.0] for _ in tests]
    largest = 0.0
    for p, i, pair in ordered:
        largest = max(largest, min(1.0, p * sum(left > 0 for left in unanswered)))
        found[pair][i] = largest
        unanswered[pair] -= 1
    return {pair: Both(*both) for pair, both in zip(tests, found, strict=True)}


def decided(
    found: Mapping[str, Comparison], resolution: Mapping[str, float], stage: Stage
) -> dict[str, Comparison]:
    """{environment: its comparison}, every word given by the newest look and the whole family.

    The words that come with `found` take the seeds at hand as planned and each environment alone;
    they stay in `Pair.fixed`. `resolution` is each environment's, as `judge` takes it.
    """
    said: dict[Key, Decision] = {}
    if stage.look is not None:
        asked = {env: _asked(on, resolution[env]) for env, on in found.items()}
        margin = next((on.rule.margin for on in found.values()), Rule().margin)
        said = decisions(asked, stage.look, stage.seeds, margin)
    family = max(1, sum(pair.test is not None for on in found.values() for pair in on.pairs))
    return {
        env: on._replace(
            pairs=tuple(
                _worded(pair, said.get((env, pair.a, pair.b)), on.rule, stage)._replace(
                    outlook=_outlook(pair, on.rule, family, stage)
                )
                for pair in on.pairs
            )
        )
        for env, on in found.items()
    }


def decisions(
    asked: Mapping[str, EnvironmentValues], look: Analysis, seeds: Collection[int], margin: float
) -> dict[Key, Decision]:
    """The word for every pair on every environment, of the look's `seeds` alone."""
    spreads = {
        (env, a, b): found
        for env, one in asked.items()
        for a, b in one.pairs
        if (found := _spread(one, (a, b), seeds)) is not None and found.seeds >= FEWEST
    }
    tests = {key: Both(t_test(found), tost(found, margin)) for key, found in spreads.items()}
    return {key: _decision(spreads[key], p, look, len(tests)) for key, p in adjusted(tests).items()}


def _asked(on: Comparison, resolution: float) -> EnvironmentValues:
    values = {arm.name: arm.values for arm in on.arms}
    return EnvironmentValues(values, [(pair.a, pair.b) for pair in on.pairs], resolution)


def _spread(
    asked: EnvironmentValues, pair: tuple[str, str], seeds: Collection[int]
) -> Spread | None:
    a, b = (
        {seed: x for seed, x in asked.values.get(arm, {}).items() if seed in seeds} for arm in pair
    )
    return spread(differences(a, b), asked.resolution)


def _decision(found: Spread, p: Both, look: Analysis, family: int) -> Decision:
    word = decide(found.mean, p.difference, p.equivalence, look.level)
    half = power.Truth(abs(found.mean) / 2, found.sd)
    exaggeration = None
    if word in ("better", "worse"):
        exaggeration = power.exaggeration(half, found.seeds, look.level / family)
    return Decision(
        verdict=word,
        look=look.number,
        seeds=found.seeds,
        level=look.level,
        family=family,
        p=p.difference,
        p_equivalence=p.equivalence,
        exaggeration=exaggeration,
    )


def _worded(pair: Pair, decision: Decision | None, rule: Rule, stage: Stage) -> Pair:
    if pair.test is None or (decision is None and len(pair.seeds) < FEWEST):
        return pair  # its own reason is the better one
    if decision is None and stage.look is not None:
        why = f"fewer than {FEWEST} of the first {stage.look.seeds} seeds are in both arms"
        return pair._replace(verdict="inconclusive", why=why)
    if decision is None:
        first = next(looks(stage.planned, rule.alpha))
        why = (
            f"no verdict yet: it is given when all runs of the first {first.seeds} seeds have come "
            f"to their end, and here {len(pair.seeds)} are compared"
        )
        return pair._replace(verdict="inconclusive", why=why)
    return pair._replace(verdict=decision.verdict, why=_why(decision, rule), decision=decision)


def _why(said: Decision, rule: Rule) -> str:
    """The reason for the word, as a clause."""
    over = f"adjusted over {said.family} pairs" if said.family > 1 else "one pair"
    at = f"look {said.look}, {said.seeds} seeds, asks for less than {said.level:.3g}"
    if said.verdict == "equivalent":
        return (
            f"the difference is below {rule.size} (TOST p {said.p_equivalence:.2g}, {over}; {at})"
        )
    if said.verdict != "inconclusive":
        return f"the seeds agree (paired t p {said.p:.2g}, {over}; {at})"
    return (
        f"neither a difference (paired t p {said.p:.2g}) nor equivalence within {rule.size} "
        f"(TOST p {said.p_equivalence:.2g}) is shown ({over}; {at})"
    )


def _outlook(pair: Pair, rule: Rule, family: int, stage: Stage) -> Outlook | None:
    if pair.test is None or pair.outlook is None:
        return pair.outlook
    sd = pair.test.sd
    found = power.outlook(
        power.SpreadEstimate(sd, len(pair.seeds)), rule.margin, FIRST * rule.alpha / family
    )
    more = islice(looks(stage.planned, rule.alpha), MOST_LOOKS)
    enough = (
        look.seeds
        for look in more
        if (stage.look is None or look.number > stage.look.number)
        and power.of_t_test(rule.margin / sd, look.seeds, look.level / family) >= power.POWER
    )
    return found._replace(look_to_detect=next(enough, None))
