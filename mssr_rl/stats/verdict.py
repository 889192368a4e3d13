"""The verdict on a pair of arms: better, worse, equivalent or inconclusive.

A verdict uses only the differences per seed (`paired`). Holm's method corrects the p-values of the
t-tests, and those of TOST, over the tested pairs:

    equivalent     TOST at the margin has p < alpha, even if the small difference is significant
    better, worse  otherwise, if the t-test has p < alpha
    inconclusive   otherwise; always below three common seeds, because one training each says
                   nothing about the spread over trainings, and two agree by chance too often

This is the fixed reading. It treats the present seeds as planned, and these arms on one environment
as the whole family of tests. If a comparison grows or has several environments, `familywise` gives
its verdicts.

The second opinions in `questions` are shown beside a verdict and never change it.
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
    """The rule of a verdict; it must be fixed before anybody looks at the runs."""

    margin: float = 0.01  # differences below this do not matter [accuracy]
    alpha: float = 0.05
    baseline: str | None = None  # compare only pairs with this arm; None: every pair

    @property
    def size(self) -> str:
        """The margin as text, such as "1 point"."""
        margin = 100 * self.margin
        return f"{margin:g} point{'s' * (margin != 1)}"


class PairedEvidence(NamedTuple):
    """The test results of a pair over its K differences, with p-values before and after Holm."""

    interval: Interval  # Student's 95 % interval of the mean difference, within ± 1; not corrected
    sd: float  # of the differences, over seeds
    p: float  # two-sided paired t-test
    p_holm: float
    p_equivalence: float  # TOST at the margin
    p_equivalence_holm: float
    sign_flip: SignFlip


class Decision(NamedTuple):
    """The verdict on a pair at a look, corrected over all tests of a report (`familywise`)."""

    verdict: Word
    look: int  # number of the look
    seeds: int  # common seeds at the look
    level: float  # an adjusted p-value below this gives a verdict
    family: int  # number of tested pairs, over all environments
    p: float  # paired t-test, adjusted over the family
    p_equivalence: float  # TOST, adjusted over the family
    exaggeration: float | None  # of significant differences, if the truth were half the observed


class Pair(NamedTuple):
    """The comparison of arm `a` with arm `b`: differences are a - b, the verdict is about `a`."""

    a: str
    b: str
    verdict: Word
    why: str  # the reason for the verdict, as a clause
    seeds: tuple[int, ...]  # common seeds, in the order of `differences`
    unpaired: tuple[int, ...]  # seeds of only one of the two arms, not used
    differences: tuple[float, ...]  # one per seed
    test: PairedEvidence | None  # None below two common seeds
    outlook: Outlook | None
    opinions: Opinions | None  # from single questions; None for `compare_values`
    # The verdict of the fixed reading: these seeds were planned, and nothing else is tested.
    fixed: Word = "inconclusive"
    decision: Decision | None = None  # None before the first look and without `familywise`


class ArmSummary(NamedTuple):
    """The accuracies of one arm per seed, with their mean and interval."""

    name: str
    values: Mapping[int, float]  # seed -> accuracy
    mean: float
    interval: Interval | None  # Student's 95 % interval over seeds; None below two seeds


class Comparison(NamedTuple):
    """The results of all arms and all pairs, under one rule."""

    rule: Rule
    arms: tuple[ArmSummary, ...]  # best mean first
    pairs: tuple[Pair, ...]

    def pair(self, a: str, b: str) -> Pair:
        """Return the pair as (a, b); a pair that was tested as (b, a) gets its arms exchanged.

        Raise `UserError` if the two arms were not compared.
        """
        for tested in self.pairs:
            if (tested.a, tested.b) == (a, b):
                return tested
            if (tested.a, tested.b) == (b, a):
                return turned(tested)
        raise UserError(f"{a} and {b} were not compared with each other under baseline=")


def compare_arms(scores: Scores, rule: Rule) -> Comparison:
    """Return the verdicts on final accuracy, with second opinions from single questions.

    Raise `UserError` if two runs answered different questions, because they are not comparable.
    """
    questions_per_run = _asked(scores)
    accuracy = {
        arm: {seed: sum(right.values()) / questions_per_run for seed, right in runs.items()}
        for arm, runs in scores.items()
    }
    comparison = compare_values(accuracy, 1 / questions_per_run, rule)
    return comparison._replace(
        pairs=tuple(_with_opinions(pair, scores) for pair in comparison.pairs)
    )


def compare_values(values: Values, resolution: float, rule: Rule) -> Comparison:
    """Return the verdicts on one number per run, such as a macro mean or an area under a curve.

    `resolution` is the smallest possible step between two numbers: 1 / questions for an accuracy.
    """
    comparison = judge(values, resolution, rule)
    tested = sum(pair.test is not None for pair in comparison.pairs)
    # The outlook plans for the worst case: the pair may be the first that Holm looks at.
    alpha = rule.alpha / max(tested, 1)  # the level of Holm's first, strictest step
    return comparison._replace(
        pairs=tuple(_with_outlook(pair, rule, alpha) for pair in comparison.pairs)
    )


def judge(values: Values, resolution: float, rule: Rule) -> Comparison:
    """Return the result of `compare_values` without the outlooks, which take most of its time."""
    _check(values, rule)
    names = _names(values, rule)
    spreads = {(a, b): spread(differences(values[a], values[b]), resolution) for a, b in names}
    tests = _tests({pair: s for pair, s in spreads.items() if s is not None}, values, rule)
    pairs = [_pair(pair, values, tests.get(pair), rule) for pair in names]
    arms = sorted((_arm(n, runs, resolution) for n, runs in values.items()), key=lambda x: -x.mean)
    return Comparison(rule, tuple(arms), tuple(pairs))


def differences(a: Mapping[int, float], b: Mapping[int, float]) -> tuple[float, ...]:
    """Return the difference a - b for every common seed, in the order of the seeds."""
    # Arms share problems, order and evaluation seeds, so much of the noise cancels within a seed.
    return tuple(a[seed] - b[seed] for seed in sorted(a.keys() & b.keys()))


def decide(mean: float, p: float, p_equivalence: float, alpha: float) -> Word:
    """Return the verdict, from p-values that are already corrected for multiple tests."""
    # Equivalence comes first: with many seeds a difference of 0.2 points can be significant, and
    # still be too small to matter.
    if p_equivalence < alpha:
        return "equivalent"
    if p < alpha:
        return "better" if mean > 0 else "worse"
    return "inconclusive"


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted by Holm's method, in the same order.

    The method is written here, because `multipletests` of statsmodels runs the garbage collector
    every time.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for done, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        # The running maximum keeps the order: an adjusted p-value is never below that of a smaller
        # p.
        largest = max(largest, min(1.0, p_values[i] * (len(p_values) - done)))
        adjusted[i] = largest
    return adjusted


def turned(pair: Pair) -> Pair:
    """Return the same pair with its two arms exchanged."""
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
    """Return the number of questions; raise `UserError` unless every run answered the same ones."""
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
    """Return the tests of all pairs with at least two common seeds, Holm-corrected over them."""
    p = [t_test(sample) for sample in spreads.values()]
    p_equivalence = [tost(sample, rule.margin) for sample in spreads.values()]
    columns = zip(p, holm(p), p_equivalence, holm(p_equivalence), strict=True)
    return {
        (a, b): PairedEvidence(
            within(t_interval(sample), -1.0, 1.0),
            sample.sd,
            *row,
            sign_flip(differences(values[a], values[b])),
        )
        for ((a, b), sample), row in zip(spreads.items(), columns, strict=True)
    }


def _pair(names: tuple[str, str], values: Values, test: PairedEvidence | None, rule: Rule) -> Pair:
    a, b = (values[name] for name in names)
    seeds = tuple(sorted(a.keys() & b.keys()))
    verdict: Word = "inconclusive"
    if test is not None and len(seeds) >= FEWEST:
        mean = test.interval.value
        verdict = decide(mean, test.p_holm, test.p_equivalence_holm, rule.alpha)
    return Pair(
        *names,
        verdict=verdict,
        fixed=verdict,
        why=_why(verdict, test, len(seeds), rule),
        seeds=seeds,
        unpaired=tuple(sorted(a.keys() ^ b.keys())),
        differences=differences(a, b),
        test=test,
        outlook=None,
        opinions=None,
    )


def _why(verdict: Word, test: PairedEvidence | None, seeds: int, rule: Rule) -> str:
    """Return the reason for the verdict, as a part of a sentence."""
    if test is None:
        return (
            f"{'one seed' if seeds == 1 else 'no seed'} in common: one training of each says "
            f"nothing about the spread over trainings; at least {FEWEST} common seeds are needed"
        )
    if seeds < FEWEST:
        return (
            f"two seeds in common: two differences agree by chance too often; at least "
            f"{FEWEST} common seeds are needed"
        )
    alpha = f"{rule.alpha:g}"
    if verdict == "equivalent":
        p = test.p_equivalence_holm
        return f"the difference is below {rule.size} (TOST p {p:.2g}, Holm, below {alpha})"
    if verdict != "inconclusive":
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
    sample = spread(list(runs.values()), resolution)
    mean = sum(runs.values()) / len(runs)
    return ArmSummary(name, dict(runs), mean, sample and t_interval(sample))
