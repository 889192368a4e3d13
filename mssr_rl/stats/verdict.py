"""One word a pair of arms: better, worse, equivalent or inconclusive.

The word comes from the per-seed differences alone (`paired`), both families of p-values adjusted by
Holm over the pairs that are tested:

    equivalent     TOST at the margin has p < alpha, also when the small difference is significant
    better, worse  else, the t-test has p < alpha
    inconclusive   else; always below three seeds in common: one training of each says nothing about
                   the spread over trainings, and two agree by accident too often

This is the fixed reading: it takes the seeds at hand as planned, and one set of arms as all that is
asked. A comparison that grows, or asks about several environments, gets its words from
`familywise`.

What questions say (`questions`) stands beside the word and never makes it.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from mssr_rl.errors import UserError
from mssr_rl.stats import power, questions
from mssr_rl.stats.intervals import Interval, negated, within
from mssr_rl.stats.paired import SignFlip, Spread, sign_flip, spread, t_interval, t_test, tost
from mssr_rl.stats.power import Outlook, SpreadEstimate
from mssr_rl.stats.questions import Opinions, Questions
from mssr_rl.stats.sequential import FEWEST

Word = Literal["better", "worse", "equivalent", "inconclusive"]
Scores = Mapping[str, Mapping[int, Questions]]  # arm -> seed -> questions
Values = Mapping[str, Mapping[int, float]]  # arm -> seed -> accuracy, or area under its curve
OPPOSITE: Mapping[Word, Word] = {
    "better": "worse",
    "worse": "better",
    "equivalent": "equivalent",
    "inconclusive": "inconclusive",
}


class Rule(NamedTuple):
    """How the verdict is reached; fixed before the runs are looked at."""

    margin: float = 0.01  # differences below this do not matter [accuracy]
    alpha: float = 0.05
    baseline: str | None = None  # only pairs with this arm; None: every pair

    @property
    def size(self) -> str:
        """The margin in words."""
        margin = 100 * self.margin
        return f"{margin:g} point{'s' * (margin != 1)}"


class PairedEvidence(NamedTuple):
    """What the K paired differences of a pair say; p-values as they are and after Holm."""

    interval: Interval  # 95 %, Student's, of the mean difference, within ± 1; not adjusted
    sd: float  # of the differences, over seeds
    p: float  # two-sided, paired t
    p_holm: float
    p_equivalence: float  # TOST at the margin
    p_equivalence_holm: float
    sign_flip: SignFlip


class Decision(NamedTuple):
    """What made the word at a look, over the family of all words of a report (`familywise`)."""

    verdict: Word
    look: int  # its number
    seeds: int  # in common at the look
    level: float  # an adjusted p below this decides
    family: int  # pairs that were tested, over all environments
    p: float  # paired t, adjusted over the family
    p_equivalence: float  # TOST, adjusted over the family
    exaggeration: float | None  # of decided differences, were the truth half of the seen one


class Pair(NamedTuple):
    """Arm `a` against arm `b`: every difference is a - b, the verdict is about `a`."""

    a: str
    b: str
    verdict: Word
    why: str  # the reason for the word, as a clause
    seeds: tuple[int, ...]  # in common, in the order of `differences`
    unpaired: tuple[int, ...]  # seeds that only one of the two has, not used
    differences: tuple[float, ...]  # one a seed
    test: PairedEvidence | None  # None below two seeds in common
    outlook: Outlook | None
    opinions: Opinions | None  # question level; None where only values were given
    fixed: Word = (
        "inconclusive"  # the word if the seeds at hand were planned, and nothing else asked
    )
    decision: Decision | None = None  # None before the first look, and where no family was judged


class ArmSummary(NamedTuple):
    """One arm on its own."""

    name: str
    values: Mapping[int, float]  # seed -> accuracy
    mean: float
    interval: Interval | None  # Student's over seeds, 95 %; None below two seeds


class Comparison(NamedTuple):
    """All arms and pairs under one rule."""

    rule: Rule
    arms: tuple[ArmSummary, ...]  # best mean first
    pairs: tuple[Pair, ...]

    def pair(self, a: str, b: str) -> Pair:
        """The pair as seen from `a`, whichever way round it was tested."""
        for found in self.pairs:
            if (found.a, found.b) == (a, b):
                return found
            if (found.a, found.b) == (b, a):
                return turned(found)
        raise UserError(f"{a} and {b} were not compared with each other under baseline=")


def compare_arms(scores: Scores, rule: Rule) -> Comparison:
    """Verdicts on final accuracy, with question-level second opinions beside them.

    Raises `UserError` where two runs answered different questions: they are not comparable.
    """
    asked = _asked(scores)
    accuracy = {
        arm: {seed: sum(right.values()) / asked for seed, right in runs.items()}
        for arm, runs in scores.items()
    }
    found = compare_values(accuracy, 1 / asked, rule)
    return found._replace(pairs=tuple(_with_opinions(pair, scores) for pair in found.pairs))


def compare_values(values: Values, resolution: float, rule: Rule) -> Comparison:
    """Verdicts on one number a run, such as a macro mean or an area under the learning curve.

    `resolution` is the smallest step the numbers can differ by: 1 / questions for an accuracy.
    """
    found = judge(values, resolution, rule)
    tested = sum(pair.test is not None for pair in found.pairs)
    alpha = rule.alpha / max(tested, 1)  # what the hardest step of Holm asks for
    return found._replace(pairs=tuple(_with_outlook(pair, rule, alpha) for pair in found.pairs))


def judge(values: Values, resolution: float, rule: Rule) -> Comparison:
    """The same without the outlook, which takes longer than all the rest."""
    _check(values, rule)
    names = _names(values, rule)
    found = {(a, b): spread(differences(values[a], values[b]), resolution) for a, b in names}
    tests = _tests({pair: s for pair, s in found.items() if s is not None}, values, rule)
    pairs = [_pair(pair, values, tests.get(pair), rule) for pair in names]
    arms = sorted((_arm(n, runs, resolution) for n, runs in values.items()), key=lambda x: -x.mean)
    return Comparison(rule, tuple(arms), tuple(pairs))


def differences(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[float, ...]:
    """The difference a - b at every seed they share, in the order of the seeds."""
    return tuple(a[seed] - b[seed] for seed in sorted(a.keys() & b.keys()))


def decide(mean: float, p: float, p_equivalence: float, alpha: float) -> Word:
    """The word, from p-values that are already adjusted."""
    if p_equivalence < alpha:
        return "equivalent"
    if p < alpha:
        return "better" if mean > 0 else "worse"
    return "inconclusive"


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the same order.

    Plain, because `multipletests` of statsmodels collects garbage on every call.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for done, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[i] * (len(p_values) - done)))
        adjusted[i] = largest
    return adjusted


def turned(pair: Pair) -> Pair:
    """The same pair as seen from the other arm."""
    test, opinions, decision = pair.test, pair.opinions, pair.decision
    return pair._replace(
        a=pair.b,
        b=pair.a,
        verdict=OPPOSITE[pair.verdict],
        fixed=OPPOSITE[pair.fixed],
        decision=decision and decision._replace(verdict=OPPOSITE[decision.verdict]),
        differences=tuple(-d for d in pair.differences),
        test=test and test._replace(interval=negated(test.interval)),
        opinions=opinions and questions.turned(opinions),
    )


def _check(values: Values, rule: Rule) -> None:
    if rule.baseline is not None and rule.baseline not in values:
        raise UserError(
            f"baseline={rule.baseline} is not among the arms; they are {', '.join(values)}"
        )
    if rule.margin <= 0 or not 0 < rule.alpha < 1:
        raise UserError(
            f"margin={rule.margin} and alpha={rule.alpha}: the margin must be above 0 (a share: "
            "0.01 is one point), alpha between 0 and 1"
        )


def _asked(scores: Scores) -> int:
    """How many questions; every run must have answered the same."""
    runs = [(arm, seed, right) for arm, table in scores.items() for seed, right in table.items()]
    for arm, seed, right in runs:
        first_arm, first_seed, first = runs[0]
        if right.keys() != first.keys():
            raise UserError(
                f"{arm} seed {seed} and {first_arm} seed {first_seed} answered different questions "
                f"({len(right.keys() ^ first.keys())} are in only one of them); evaluate both with "
                "the same env, split and eval.limit"
            )
    if not runs or not runs[0][2]:
        raise UserError("there are no evaluated questions to compare; evaluate the runs first")
    return len(runs[0][2])


def _names(values: Values, rule: Rule) -> list[tuple[str, str]]:
    if rule.baseline is None:
        return list(combinations(values, 2))
    return [(arm, rule.baseline) for arm in values if arm != rule.baseline]


def _tests(
    spreads: Mapping[tuple[str, str], Spread], values: Values, rule: Rule
) -> dict[tuple[str, str], PairedEvidence]:
    """The tests of all pairs that have a spread, Holm-adjusted over just these."""
    p = [t_test(found) for found in spreads.values()]
    p_equivalence = [tost(found, rule.margin) for found in spreads.values()]
    columns = zip(p, holm(p), p_equivalence, holm(p_equivalence), strict=True)
    return {
        (a, b): PairedEvidence(
            within(t_interval(found), -1.0, 1.0),
            found.sd,
            *row,
            sign_flip(differences(values[a], values[b])),
        )
        for ((a, b), found), row in zip(spreads.items(), columns, strict=True)
    }


def _pair(names: tuple[str, str], values: Values, test: PairedEvidence | None, rule: Rule) -> Pair:
    a, b = (values[name] for name in names)
    seeds = tuple(sorted(a.keys() & b.keys()))
    word: Word = "inconclusive"
    if test is not None and len(seeds) >= FEWEST:
        mean = test.interval.value
        word = decide(mean, test.p_holm, test.p_equivalence_holm, rule.alpha)
    return Pair(
        *names,
        verdict=word,
        fixed=word,
        why=_why(word, test, len(seeds), rule),
        seeds=seeds,
        unpaired=tuple(sorted(a.keys() ^ b.keys())),
        differences=differences(a, b),
        test=test,
        outlook=None,
        opinions=None,
    )


def _why(word: Word, test: PairedEvidence | None, seeds: int, rule: Rule) -> str:
    """The reason for the word, as a clause."""
    if test is None:
        return (
            f"{'one seed' if seeds == 1 else 'no seed'} in common: one training of each says "
            "nothing about the spread over trainings; at least two seeds each are needed"
        )
    if seeds < FEWEST:
        return (
            f"two seeds in common: that two differences agree is an accident too often; at least "
            f"{FEWEST} seeds each are needed"
        )
    alpha = f"{rule.alpha:g}"
    if word == "equivalent":
        p = test.p_equivalence_holm
        return f"the difference is below {rule.size} (TOST p {p:.2g}, Holm, below {alpha})"
    if word != "inconclusive":
        return f"the seeds agree (paired t p {test.p_holm:.2g}, Holm, below {alpha})"
    return (
        f"neither a difference (paired t p {test.p_holm:.2g}, Holm) nor equivalence within "
        f"{rule.size} (TOST p {test.p_equivalence_holm:.2g}, Holm) is shown at {alpha}"
    )


def _with_opinions(pair: Pair, scores: Scores) -> Pair:
    a, b = ({seed: scores[arm][seed] for seed in pair.seeds} for arm in (pair.a, pair.b))
    return pair._replace(opinions=questions.second_opinions(a, b)) if pair.seeds else pair


def _with_outlook(pair: Pair, rule: Rule, alpha: float) -> Pair:
    if pair.test is None:
        return pair
    return pair._replace(
        outlook=power.outlook(SpreadEstimate(pair.test.sd, len(pair.seeds)), rule.margin, alpha)
    )


def _arm(name: str, runs: Mapping[int, float], resolution: float) -> ArmSummary:
    if not runs:
        raise UserError(f"{name} has no run with a score; leave it out, or run it again")
    found = spread(list(runs.values()), resolution)
    mean = sum(runs.values()) / len(runs)
    return ArmSummary(name, dict(runs), mean, found and t_interval(found))
