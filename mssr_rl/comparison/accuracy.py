"""How good the arms are, and which is better: final accuracy problem by problem. Pure.

Decided on greedy accuracy of the final model on `test`, recomputed from `per_problem`; where a run
collapsed before it was tested, on `val`, which is evaluated from step 0 on. The best checkpoint is
listed but decides nothing: it is picked on the problems it is scored on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mssr_rl.comparison.evidence import Run, counted
from mssr_rl.report.runfiles import Row
from mssr_rl.stats.intervals import Interval
from mssr_rl.stats.paired import spread, t_interval
from mssr_rl.stats.verdict import Comparison, Pair, Rule, Scores, compare_arms
from mssr_rl.stats.words import sentence

GREEDY, SAMPLED = "per_problem", "per_problem_sampled"


def split_of(runs: Sequence[Run]) -> str:
    """What the verdict is about: the best that every run which counts has."""
    return "test" if all(run.last("test") for run in runs if run.counts) else "val"


def right(row: Row, kind: str = GREEDY) -> dict[str, float]:
    """{problem: share of right answers} of one evaluation."""
    answers = 1 if kind == GREEDY else row["samples"]
    return {key: won / answers for key, won in row[kind].items()}


def mean_right(row: Row | None, kind: str = GREEDY) -> float | None:
    """One evaluation's accuracy, from its problems."""
    if row is None or not row.get(kind):
        return None
    shares = right(row, kind)
    return sum(shares.values()) / len(shares)


def scores(runs: Sequence[Run], arms: Sequence[str], split: str) -> Scores:
    """{arm: {seed: {problem: 0 or 1}}} of the runs that count."""
    found = {
        arm: {run.seed: right(row) for run in counted(runs, arm) if (row := run.last(split))}
        for arm in arms
    }
    return {arm: by_seed for arm, by_seed in found.items() if by_seed}


def compared(runs: Sequence[Run], arms: Sequence[str], rule: Rule) -> Comparison | None:
    """The verdicts; None before any run has finished."""
    found = scores(runs, arms, split_of(runs))
    if rule.baseline is not None and rule.baseline not in found:
        rule = rule._replace(baseline=None)
    return compare_arms(found, rule) if found else None


def leaderboard(found: Comparison, runs: Sequence[Run]) -> list[dict[str, Any]]:
    """A row an arm, best first, with every seed's accuracy."""
    split = split_of(runs)
    return [
        {
            "arm": arm.name,
            "accuracy": within_0_and_1(interval(arm.interval, arm.mean)),
            "by_seed": {str(seed): value for seed, value in sorted(arm.values.items())},
            "sampled": _mean(counted(runs, arm.name), split, SAMPLED),
            "val": _mean(counted(runs, arm.name), "val", GREEDY),
            "val_start": _mean_start(counted(runs, arm.name)),
            "val_best_checkpoint": _mean_best(counted(runs, arm.name)),
            "runs": len(arm.values),
            "collapsed": sum(verdict(run) == "collapsed" for run in counted(runs, arm.name)),
        }
        for arm in found.arms
    ]


def pairs(found: Comparison, at: str) -> list[dict[str, Any]]:
    """Every tested pair with all its numbers."""
    return [_pair(pair, found.rule, at) for pair in found.pairs]


def interval(found: Interval | None, value: float | None = None) -> dict[str, float | None]:
    """An interval as plain numbers; its ends are None where there is none."""
    if found is None:
        return {"value": value, "low": None, "high": None}
    return {"value": float(found.value), "low": float(found.low), "high": float(found.high)}


def within_0_and_1(found: dict[str, float | None]) -> dict[str, float | None]:
    """An accuracy's interval, cut at what an accuracy can be: Student's knows no bounds."""
    return {end: None if x is None else min(1.0, max(0.0, x)) for end, x in found.items()}


def _pair(pair: Pair, rule: Rule, at: str) -> dict[str, Any]:
    test, outlook = pair.test, pair.outlook
    difference = sum(pair.differences) / len(pair.differences) if pair.differences else None
    return {
        "a": pair.a,
        "b": pair.b,
        "verdict": pair.verdict,
        "sentence": sentence(pair, rule, at),
        "why": pair.why,
        "difference": interval(test.interval if test else None, difference),
        "sd": test.sd if test else None,
        "seeds": list(pair.seeds),
        "unpaired": list(pair.unpaired),
        "differences": list(pair.differences),
        "t_test": {"p": test.p, "p_holm": test.p_holm} if test else None,
        "equivalence": (
            {"p": test.p_equivalence, "p_holm": test.p_equivalence_holm} if test else None
        ),
        "sign_flip": test.sign_flip._asdict() if test else None,
        "outlook": outlook._asdict() if outlook else None,
        **_opinions(pair),
    }


def _opinions(pair: Pair) -> dict[str, Any]:
    if pair.opinions is None:
        return {"checkpoints": [], "bootstraps": []}
    return {
        "checkpoints": [
            {
                "seed": one.seed,
                "only_a": one.only_a,
                "only_b": one.only_b,
                "p": one.p,
                "difference": interval(one.difference),
            }
            for one in pair.opinions.checkpoints
        ],
        "bootstraps": [
            {
                "kind": one.kind,
                "says": one.says,
                "interval": interval(one.interval),
                "coverage": one.coverage,
                "measured_at": dict(zip(("seeds", "questions"), one.measured_at, strict=True)),
            }
            for one in pair.opinions.bootstraps
        ],
    }


def _mean(runs: Sequence[Run], split: str, kind: str) -> float | None:
    return average([mean_right(run.last(split), kind) for run in runs])


def _mean_start(runs: Sequence[Run]) -> float | None:
    rows = [next((row for row in r.evaluations if row["split"] == "val"), None) for r in runs]
    return average([mean_right(row) for row in rows])


def _mean_best(runs: Sequence[Run]) -> float | None:
    best = []
    for run in runs:
        found = [mean_right(row) for row in run.evaluations if row["split"] == "val"]
        best.append(max((value for value in found if value is not None), default=None))
    return average(best)


def verdict(run: Run) -> str:
    """How a run's training went: stable, warned or collapsed, as its summary.json has it."""
    if run.state == "collapsed":
        return "collapsed"
    return str(run.summary.get("stability", {}).get("verdict", "stable"))


def average(values: Sequence[float | None]) -> float | None:
    """Mean of what is known."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def by_kind(runs: Sequence[Run], arms: Sequence[str], split: str) -> dict[str, Any]:
    """{tag: {value: {problems, each arm's mean accuracy over its seeds, and its interval}}}."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for arm in arms:
        rows = [row for run in counted(runs, arm) if (row := run.last(split))]
        for tag, value, n in _kinds(rows):
            cells = [row["by_tag"][tag][value]["accuracy"] for row in rows]
            empty: dict[str, Any] = {"problems": n, "accuracy": {}, "interval": {}}
            entry = found.setdefault(tag, {}).setdefault(value, empty)
            entry["accuracy"][arm] = average(cells)
            over_seeds = spread(cells, 1 / max(1, n))
            entry["interval"][arm] = within_0_and_1(
                interval(over_seeds and t_interval(over_seeds), average(cells))
            )
    return found


def _kinds(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    first: Mapping[str, Any] = rows[0].get("by_tag", {}) if rows else {}
    return [
        (tag, value, entry["n"]) for tag, values in first.items() for value, entry in values.items()
    ]
