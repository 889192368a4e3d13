"""Compute all numbers of a comparison as one document (`document.Report`): report.json.

The pages are drawn from this document alone. So `verify_report` checks a report by computing the
document again from the runs' files. If a comparison is run again, only wall times differ. They are
stored under keys named "seconds" and nowhere else. Pure functions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mssr_rl.comparison import (
    accuracy,
    cautions,
    headline,
    health,
    learning_speed,
    looks,
    maps,
    race,
    spending,
)
from mssr_rl.comparison.columns import estimate, within_0_and_1
from mssr_rl.comparison.document import (
    VERSION,
    ImportedRow,
    Improvement,
    MeanRow,
    OnEnvironment,
    Overall,
    RaceRow,
    Report,
    RuleOf,
    RunRow,
    SettingRow,
)
from mssr_rl.comparison.evidence import DROPPED, ComparedRun, Evidence, sources
from mssr_rl.comparison.imported import Imported
from mssr_rl.run import provenance
from mssr_rl.stats import aggregate, familywise
from mssr_rl.stats.racing import RaceStanding
from mssr_rl.stats.verdict import Comparison, Rule, compare_values

OVERALL = ""  # key of the mean over environments; no environment has an empty name
_ByEnv = Mapping[str, Mapping[int, float]]


def made_by() -> str | None:
    """Return the version of this package, which determines how the pages look."""
    return provenance.versions()["mssr_rl"]


def rule_of(evidence: Evidence) -> Rule:
    """Return the rule of the verdicts; it was fixed when training began."""
    recorded = evidence.compare["rule"]
    return Rule(**{key: value for key, value in recorded.items() if key in Rule._fields})


def findings(evidence: Evidence) -> Report:
    """Return the document of a comparison.

    `evidence` must come from `race.settled`, so that runs dropped by the race do not count.
    """
    compare, standings = evidence.compare, race.standings(evidence)
    rule = rule_of(evidence)
    verdicts = _words(evidence, rule, standings)
    envs = tuple(_on(evidence, env, verdicts.get(env), standings) for env in compare["envs"])
    return Report(
        version=VERSION,
        made_by=made_by(),
        command=tuple(compare["command"]),
        arms=tuple(compare["arms"]),
        seeds=tuple(compare["seeds"]),
        rule=RuleOf(rule.margin, rule.alpha, rule.baseline),
        verdict=" ".join(one.verdict for one in envs),
        looks=looks.summary(evidence, rule.alpha),
        envs=envs,
        overall=_overall(evidence, verdicts[OVERALL]) if OVERALL in verdicts else None,
        imported=tuple(map(_imported, evidence.imported)),
        race={arm: RaceRow(*one) for arm, one in standings.items()},
        runs=tuple(
            RunRow(run.name, run.arm, run.env, run.seed, run.state) for run in evidence.runs
        ),
        sources=sources(evidence),
        maps=maps.section(evidence),
    )


def _imported(other: Imported) -> ImportedRow:
    last = {metric: other.last(metric) for metric in other.about.source}
    return ImportedRow(**other.about._asdict(), steps=len(other.rows), last=last)


def _words(
    evidence: Evidence, rule: Rule, standings: Mapping[str, RaceStanding]
) -> dict[str, Comparison]:
    """Return {environment: comparison with its verdicts}, for the newest look.

    The verdicts on the mean over environments have the key `OVERALL`. All verdicts together are one
    family of tests, and their p-values are corrected over this family.
    """
    arms, envs = evidence.compare["arms"], evidence.compare["envs"]
    each = {env: accuracy.compared(evidence.on(env), arms, rule) for env in envs}
    comparisons = {env: on for env, on in each.items() if on is not None}
    resolution = {env: smallest_step(evidence, [env]) for env in comparisons}
    over_all = _macro(evidence, rule) if len(envs) > 1 else None
    if over_all is not None:
        comparisons[OVERALL], resolution[OVERALL] = over_all, smallest_step(evidence)
    stage = looks.stage(evidence, looks.read_looks(evidence.folder), rule.alpha)
    return {
        env: race.decided(on, standings, 1 if env == OVERALL else len(envs))
        for env, on in familywise.decided(comparisons, resolution, stage).items()
    }


def _on(
    evidence: Evidence,
    env: str,
    comparison: Comparison | None,
    standings: Mapping[str, RaceStanding],
) -> OnEnvironment:
    runs, arms = evidence.on(env), evidence.compare["arms"]
    at, rule = headline.budget(runs), rule_of(evidence)
    split, fairness = accuracy.split_of(runs), _fairness(evidence, env)
    there = [arm for arm in arms if any(run.arm == arm and run.counts for run in runs)]
    return OnEnvironment(
        env=env,
        split=split,
        questions=max((len(accuracy.right(r)) for r in _last(runs, split)), default=0),
        at=at,
        verdict=headline.headline(comparison, env, at),
        in_front=headline.top_pair(comparison, at) if comparison else "",
        cautions=(
            *cautions.few(comparison),
            *cautions.unusual(runs, split, comparison, rule),
            *cautions.problems(runs, split, rule),
            *cautions.dropped(standings, [run.arm for run in runs if run.state == DROPPED]),
        ),
        leaderboard=accuracy.leaderboard(comparison, runs) if comparison else (),
        pairs=accuracy.pairs(comparison, at) if comparison else (),
        speed=learning_speed.speed(runs, there, rule),
        stability=health.card(runs, there),
        kinds=accuracy.by_kind(runs, there, split),
        ledger=spending.ledger(runs, there),
        fairness=fairness,
        as_run=spending.as_run(runs, there, {row.name: row.values for row in fairness}),
    )


def _last(runs: Sequence[ComparedRun], split: str) -> list[Any]:
    return [row for run in runs if run.counts and (row := run.last(split))]


def _fairness(evidence: Evidence, env: str) -> tuple[SettingRow, ...]:
    recorded = evidence.compare["fairness"]
    rows: Sequence[Mapping[str, Any]] = next(
        (fair["rows"] for fair in recorded if fair["env"] == env), []
    )
    return tuple(
        SettingRow(row["name"], dict(row["values"]), row["kind"], tuple(row["because"]))
        for row in rows
    )


def _macro(evidence: Evidence, rule: Rule) -> Comparison | None:
    """Return the comparison of the arms by mean accuracy over environments.

    None if no arm has a seed that finished on all environments.
    """
    macro = mean_by_seed(evidence)
    if not macro:
        return None
    tested = rule if rule.baseline in macro else rule._replace(baseline=None)
    return compare_values(macro, smallest_step(evidence), tested)


def _overall(evidence: Evidence, comparison: Comparison) -> Overall:
    envs = evidence.compare["envs"]
    arms = [arm for arm in evidence.compare["arms"] if arm in {one.name for one in comparison.arms}]
    values = {arm: {env: _by_seed(evidence, arm, env) for env in envs} for arm in arms}
    gains = {arm: _gains(evidence, arm) for arm in arms}
    return Overall(
        leaderboard=tuple(
            MeanRow(arm.name, within_0_and_1(estimate(arm.interval, arm.mean)))
            for arm in comparison.arms
        ),
        pairs=accuracy.pairs(comparison, "the mean over environments"),
        iqm_of_gains={arm: aggregate.iqm(some) if some else None for arm, some in gains.items()},
        improvement=tuple(
            Improvement(pair.a, pair.b, _improvement(values[pair.a], values[pair.b]))
            for pair in comparison.pairs
        ),
    )


def mean_by_seed(evidence: Evidence) -> dict[str, dict[int, float]]:
    """Return {arm: {seed: mean accuracy over environments}}.

    Only seeds that finished on all environments are included.
    """
    arms, envs = evidence.compare["arms"], evidence.compare["envs"]
    by_env = {arm: {env: _by_seed(evidence, arm, env) for env in envs} for arm in arms}
    macro = {arm: aggregate.macro(accuracies) for arm, accuracies in by_env.items()}
    return {arm: by_seed for arm, by_seed in macro.items() if by_seed}


def _improvement(a: _ByEnv, b: _ByEnv) -> float:
    return aggregate.probability_of_improvement(
        {env: list(by_seed.values()) for env, by_seed in a.items()},
        {env: list(by_seed.values()) for env, by_seed in b.items()},
    )


def _gains(evidence: Evidence, arm: str) -> list[float]:
    """Return the final minus the initial accuracy on val, one number per run of an arm.

    The runs on all environments are included.
    """
    gains = []
    for run in evidence.runs:
        rows = [row for row in run.evaluations if row["split"] == "val"]
        if run.counts and run.arm == arm and rows and rows[0]["step"] == 0:
            first, last = accuracy.mean_right(rows[0]), accuracy.mean_right(rows[-1])
            gains += [last - first] if first is not None and last is not None else []
    return gains


def _by_seed(evidence: Evidence, arm: str, env: str) -> dict[int, float]:
    runs = evidence.on(env)
    split = accuracy.split_of(runs)
    accuracies = {
        run.seed: accuracy.mean_right(run.last(split))
        for run in runs
        if run.counts and run.arm == arm
    }
    return {seed: value for seed, value in accuracies.items() if value is not None}


def smallest_step(evidence: Evidence, envs: Sequence[str] | None = None) -> float:
    """Return the smallest possible step of the mean accuracy over `envs` (None: all environments).

    It is 1 / (number of environments x problems), for the environment with the most problems.
    """
    envs, sizes = evidence.compare["envs"] if envs is None else envs, [1]
    for env in envs:
        runs = evidence.on(env)
        sizes += [int(row["n"]) for row in _last(runs, accuracy.split_of(runs))]
    return 1 / (len(envs) * max(sizes))
