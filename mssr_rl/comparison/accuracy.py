"""The final accuracy of the arms, and the verdicts between them. Pure functions.

A verdict uses the greedy accuracy of the final model on the split `test`. It is computed again from
the field `per_problem`. If a run collapsed before it was tested, the split is `val`, which is
evaluated from step 0 on. The accuracy of the best checkpoint is listed, but does not affect the
verdict: the checkpoint was chosen on the same problems.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

from mssr_rl.comparison.columns import (
    Column,
    NumberWithInterval,
    computed,
    estimate,
    within_0_and_1,
)
from mssr_rl.comparison.evidence import ComparedRun, counted
from mssr_rl.report.runfiles import Row
from mssr_rl.stats import verdict as rule_of
from mssr_rl.stats.paired import spread, t_interval
from mssr_rl.stats.questions import Bootstrap, Checkpoints
from mssr_rl.stats.sentences import sentence
from mssr_rl.stats.verdict import Comparison, Pair, Rule, Scores, compare_arms

GREEDY, SAMPLED = "per_problem", "per_problem_sampled"


def split_of(runs: Sequence[ComparedRun]) -> str:
    """Return "test" if every run that counts was tested, else "val": the split that decides."""
    return "test" if all(run.last("test") for run in runs if run.counts) else "val"


def right(row: Row, kind: str = GREEDY) -> dict[str, float]:
    """Return {problem: share of right answers, from 0 to 1} of one evaluation."""
    answers = 1 if kind == GREEDY else row["samples"]
    return {key: won / answers for key, won in row[kind].items()}


def mean_right(row: Row | None, kind: str = GREEDY) -> float | None:
    """Return the mean accuracy over the problems of one evaluation; None if it has no problems."""
    if row is None or not row.get(kind):
        return None
    shares = right(row, kind)
    return sum(shares.values()) / len(shares)


def scores(runs: Sequence[ComparedRun], arms: Sequence[str], split: str) -> Scores:
    """Return {arm: {seed: {problem: 0 or 1}}} of the runs that count.

    Some runs may have left out problems that could not be scored. Then only the problems that all
    runs scored are kept.
    """
    rows = {
        (arm, run.seed): row
        for arm in arms
        for run in counted(runs, arm)
        if (row := run.last(split))
    }
    by_arm: dict[str, dict[int, dict[str, float]]] = {}
    common = _scored_by_all(list(rows.values()))
    for (arm, seed), row in rows.items():
        shares = right(row)
        kept = shares if common is None else {key: shares[key] for key in shares if key in common}
        by_arm.setdefault(arm, {})[seed] = kept
    return by_arm


def _scored_by_all(rows: Sequence[Row]) -> set[str] | None:
    """Return the problems that every evaluation scored; None if no evaluation left out any."""
    if not any(row.get("unscorable") for row in rows):
        return None
    return set.intersection(*(set(row[GREEDY]) for row in rows))


def compared(runs: Sequence[ComparedRun], arms: Sequence[str], rule: Rule) -> Comparison | None:
    """Return the verdicts on all pairs of arms; None if no run has finished yet."""
    by_arm = scores(runs, arms, split_of(runs))
    if rule.baseline is not None and rule.baseline not in by_arm:
        rule = rule._replace(baseline=None)
    return compare_arms(by_arm, rule) if by_arm else None


class ScoredArm(NamedTuple):
    """An arm of the leaderboard: its statistics, and its runs that count."""

    arm: rule_of.ArmSummary
    runs: Sequence[ComparedRun]
    split: str


@dataclass(frozen=True)
class LeaderboardRow:
    """An arm's final accuracy, and further columns that do not influence the verdict."""

    arm: Annotated[str, Column("arm", "name", lambda one: one.arm.name)]
    accuracy: Annotated[
        NumberWithInterval,
        Column(
            "accuracy",
            "estimate",
            lambda one: within_0_and_1(estimate(one.arm.interval, one.arm.mean)),
        ),
    ]
    by_seed: Annotated[
        dict[str, float],
        Column(
            "seeds",
            "seeds",
            lambda one: {str(seed): value for seed, value in sorted(one.arm.values.items())},
        ),
    ]
    sampled: Annotated[
        float | None,
        Column("sampled", "share", lambda one: _mean(one.runs, one.split, SAMPLED), aside=True),
    ]
    val_start: Annotated[
        float | None, Column("val, start", "share", lambda one: _mean_start(one.runs), aside=True)
    ]
    val: Annotated[
        float | None,
        Column("val, end", "share", lambda one: _mean(one.runs, "val", GREEDY), aside=True),
    ]
    val_best_checkpoint: Annotated[
        float | None,
        Column("best val checkpoint", "share", lambda one: _mean_best(one.runs), aside=True),
    ]
    runs: Annotated[int, Column(None, "count", lambda one: len(one.arm.values))]
    collapsed: Annotated[
        int, Column(None, "count", lambda one: sum(verdict(run) == "collapsed" for run in one.runs))
    ]


def leaderboard(comparison: Comparison, runs: Sequence[ComparedRun]) -> tuple[LeaderboardRow, ...]:
    """Return one row per arm with its accuracy per seed, sorted by mean accuracy, highest first."""
    split = split_of(runs)
    scored = (ScoredArm(arm, counted(runs, arm.name), split) for arm in comparison.arms)
    return tuple(computed(LeaderboardRow, one) for one in scored)


@dataclass(frozen=True)
class Tested:
    """A test's p-value, without correction and with Holm's over the pairs of this table."""

    p: float
    p_holm: float


@dataclass(frozen=True)
class SignFlips:
    """The sign-flip test, and the smallest p-value it can give with these seeds."""

    p: float
    floor: float


@dataclass(frozen=True)
class MoreSeeds:
    """What more seeds could show (`stats.power.Outlook`)."""

    detectable: float | None
    seeds_to_detect: int | None
    seeds_to_equate: int | None
    fewest_to_detect: int | None
    most_to_detect: int | None
    look_to_detect: int | None


@dataclass(frozen=True)
class DecidedAt:
    """The verdict at a look, corrected over all tests of the report (`verdict.Decision`)."""

    verdict: str
    look: int
    seeds: int
    level: float
    family: int
    p: float
    p_equivalence: float
    exaggeration: float | None


@dataclass(frozen=True)
class CheckpointPair:
    """The comparison of the two checkpoints of one seed, by problem."""

    seed: int
    only_a: int | None
    only_b: int | None
    p: float | None
    difference: NumberWithInterval


@dataclass(frozen=True)
class SecondOpinion:
    """A bootstrap interval, and its true coverage."""

    kind: str
    says: str
    interval: NumberWithInterval
    coverage: float
    measured_at: dict[str, int]


@dataclass(frozen=True)
class PairRow:
    """A tested pair with all its numbers; every difference is a - b."""

    a: Annotated[str, Column("a", "name")]
    b: Annotated[str, Column("b", "name")]
    verdict: Annotated[str, Column("verdict", "word")]
    fixed: Annotated[str, Column("fixed-K reading", "name")]  # has no influence on the verdict
    sentence: str
    why: str
    difference: Annotated[NumberWithInterval, Column("a − b", "gap")]
    sd: float | None
    seeds: tuple[int, ...]
    unpaired: tuple[int, ...]
    differences: tuple[float, ...]
    decision: Annotated[DecidedAt | None, Column("p (t, adjusted)", "p", part="p")]
    t_test: Annotated[Tested | None, Column("p (t, Holm)", "p", part="p_holm")]
    equivalence: Annotated[Tested | None, Column("p (TOST, Holm)", "p", part="p_holm")]
    sign_flip: Annotated[SignFlips | None, Column("p (sign flips)", "p", part="p")]
    outlook: MoreSeeds | None
    checkpoints: tuple[CheckpointPair, ...]
    bootstraps: tuple[SecondOpinion, ...]


def pairs(comparison: Comparison, at: str) -> tuple[PairRow, ...]:
    """Return one row per tested pair, with all its numbers; `at` is the budget in words."""
    return tuple(_pair(pair, comparison.rule, at) for pair in comparison.pairs)


def _pair(pair: Pair, rule: Rule, at: str) -> PairRow:
    test, outlook, opinions = pair.test, pair.outlook, pair.opinions
    difference = sum(pair.differences) / len(pair.differences) if pair.differences else None
    return PairRow(
        a=pair.a,
        b=pair.b,
        verdict=pair.verdict,
        fixed=pair.fixed,
        sentence=sentence(pair, rule, at),
        why=pair.why,
        difference=estimate(test.interval if test else None, difference),
        sd=test.sd if test else None,
        seeds=pair.seeds,
        unpaired=pair.unpaired,
        differences=pair.differences,
        decision=DecidedAt(*pair.decision) if pair.decision else None,
        t_test=Tested(test.p, test.p_holm) if test else None,
        equivalence=Tested(test.p_equivalence, test.p_equivalence_holm) if test else None,
        sign_flip=SignFlips(*test.sign_flip) if test else None,
        outlook=MoreSeeds(*outlook) if outlook else None,
        checkpoints=tuple(map(_checkpoints, opinions.checkpoints)) if opinions else (),
        bootstraps=tuple(map(_bootstrap, opinions.bootstraps)) if opinions else (),
    )


def _checkpoints(one: Checkpoints) -> CheckpointPair:
    return CheckpointPair(one.seed, one.only_a, one.only_b, one.p, estimate(one.difference))


def _bootstrap(one: Bootstrap) -> SecondOpinion:
    at = dict(zip(("seeds", "questions"), one.measured_at, strict=True))
    return SecondOpinion(one.kind, one.says, estimate(one.interval), one.coverage, at)


def _mean(runs: Sequence[ComparedRun], split: str, kind: str) -> float | None:
    return average([mean_right(run.last(split), kind) for run in runs])


def _mean_start(runs: Sequence[ComparedRun]) -> float | None:
    rows = [next((row for row in r.evaluations if row["split"] == "val"), None) for r in runs]
    return average([mean_right(row) for row in rows])


def _mean_best(runs: Sequence[ComparedRun]) -> float | None:
    best = []
    for run in runs:
        values_of_run = [mean_right(row) for row in run.evaluations if row["split"] == "val"]
        best.append(max((value for value in values_of_run if value is not None), default=None))
    return average(best)


def verdict(run: ComparedRun) -> str:
    """Return how stable a run was, from its summary.json: "stable", "warned" or "collapsed"."""
    if run.state == "collapsed":
        return "collapsed"
    return str(run.summary.get("stability", {}).get("verdict", "stable"))


def average(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if there are no such values."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


@dataclass(frozen=True)
class KindRow:
    """Problems of one kind: each arm's mean accuracy over its seeds, with its interval."""

    problems: int
    accuracy: dict[str, float | None]
    interval: dict[str, NumberWithInterval]


def by_kind(
    runs: Sequence[ComparedRun], arms: Sequence[str], split: str
) -> dict[str, dict[str, KindRow]]:
    """Return {tag: {value: row}}; a row holds each arm's accuracy on the problems of that kind."""
    rows_by_tag: dict[str, dict[str, KindRow]] = {}
    for arm in arms:
        rows = [row for run in counted(runs, arm) if (row := run.last(split))]
        for tag, value, n in _kinds(rows):
            cells = [row["by_tag"][tag][value]["accuracy"] for row in rows]
            entry = rows_by_tag.setdefault(tag, {}).setdefault(value, KindRow(n, {}, {}))
            entry.accuracy[arm] = average(cells)
            over_seeds = spread(cells, 1 / max(1, n))
            entry.interval[arm] = within_0_and_1(
                estimate(over_seeds and t_interval(over_seeds), average(cells))
            )
    return rows_by_tag


def _kinds(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    first: Mapping[str, Any] = rows[0].get("by_tag", {}) if rows else {}
    return [
        (tag, value, entry["n"]) for tag, values in first.items() for value, entry in values.items()
    ]
