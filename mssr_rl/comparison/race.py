"""Decide which arms of a comparison are dropped from the race.

The decision uses only the final evaluations. The runner calls this module after every finished run,
and the report calls it on the same files. Both drop the same arms after the same seeds. The order
in which the runs ended does not matter.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from mssr_rl import untrusted
from mssr_rl.comparison import accuracy
from mssr_rl.comparison.evidence import DROPPED, ComparedRun, Evidence, read_evidence
from mssr_rl.stats import racing
from mssr_rl.stats.racing import RaceStanding
from mssr_rl.stats.verdict import Comparison, Pair

Ends = Mapping[tuple[str, str, int], ComparedRun]  # (arm, environment, seed) -> run


def standings(evidence: Evidence) -> dict[str, RaceStanding]:
    """Return {arm: its state in the race against the baseline}.

    The dict is empty if the comparison has no race.
    """
    rule = evidence.compare["rule"]
    if not rule.get("race"):
        return {}
    ends = {(run.arm, run.env, run.seed): run for run in evidence.runs if run.counts}
    arms, envs, seeds = (evidence.compare[key] for key in ("arms", "envs", "seeds"))
    return {
        arm: racing.standing(_differences(ends, (arm, rule["baseline"]), envs, seeds), len(arms))
        for arm in arms
        if arm != rule["baseline"]
    }


def ruled_out(standings: Mapping[str, RaceStanding], seeds: Sequence[int]) -> set[tuple[str, int]]:
    """Return the (arm, seed) of every run that the race dropped: the seeds after its arm was out.

    These runs are not trained, and they do not count.
    """
    return {
        (arm, seed)
        for arm, one in standings.items()
        if one.out_after is not None
        for seed in seeds[one.out_after :]
    }


def settled(evidence: Evidence) -> Evidence:
    """Return the evidence with the state `DROPPED` for every run that the race dropped.

    These runs have no files in the result.
    """
    out = ruled_out(standings(evidence), evidence.compare["seeds"])
    runs = tuple(
        run._replace(state=DROPPED, files=None) if (run.arm, run.seed) in out else run
        for run in evidence.runs
    )
    return evidence._replace(runs=runs)


def ruled_out_in(folder: Path) -> set[tuple[str, int]]:
    """Return the result of `ruled_out` for a comparison's folder; empty without a race."""
    compare = folder / "compare.json"
    if not compare.exists() or not untrusted.read_object(compare)["rule"].get("race"):
        return set()
    evidence = read_evidence(folder)
    return ruled_out(standings(evidence), evidence.compare["seeds"])


def decided(
    comparison: Comparison, standings: Mapping[str, RaceStanding], envs: int = 1
) -> Comparison:
    """Return the comparison with the verdict "worse" for every pair whose first arm was dropped.

    This is the verdict of the race. The t-test of such a pair does not count, because the race
    looked at the arm after every seed. The race compares means over environments. So with several
    environments (`envs` > 1), the verdict on a single environment is "inconclusive".
    """
    return comparison._replace(
        pairs=tuple(_decided(pair, standings, envs) for pair in comparison.pairs)
    )


def _decided(pair: Pair, standings: Mapping[str, RaceStanding], envs: int) -> Pair:
    one = standings.get(pair.a)
    if one is None or one.out_after is None:
        return pair
    out = (
        f"out of the race after {one.out_after} seeds (e-value {one.e_value:,.0f}, "
        f"{one.threshold:,.0f} required"
    )
    if envs > 1:
        why = f"{out}, on the mean over environments, which says nothing about this one alone)"
        return pair._replace(verdict="inconclusive", why=why)
    beside = "the t-test does not count, because the results were looked at after every seed)"
    return pair._replace(verdict="worse", why=f"{out}; {beside}")


def _differences(
    ends: Ends, pair: tuple[str, str], envs: Sequence[str], seeds: Sequence[int]
) -> list[float]:
    """Return the accuracy of an arm minus that of the baseline, one number per seed.

    Each number is a mean over `envs`. The list ends before the first seed that lacks a run.
    """
    differences = []
    for seed in seeds:
        runs = [(ends.get((pair[0], env, seed)), ends.get((pair[1], env, seed))) for env in envs]
        steps = [_difference(a, b) for a, b in runs if a and b]
        if len(steps) < len(envs):
            break
        differences.append(sum(steps) / len(envs))
    return differences


def _difference(a: ComparedRun, b: ComparedRun) -> float:
    """Return the accuracy of `a` minus that of `b`, on test if both were tested, else on val."""
    split = "test" if a.last("test") and b.last("test") else "val"
    ours, theirs = (accuracy.mean_right(run.last(split)) or 0.0 for run in (a, b))
    return ours - theirs
