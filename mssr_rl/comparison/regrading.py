"""Grade recorded answers again, and compare the results with samples.jsonl.

Every row is looked up by its key among the problems of the environment. So a changed gold answer or
question is found too. The response is graded with the environment's grading rules and reward. Where
training rewards have noise on purpose, only the verdicts of training answers are compared.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isclose
from typing import NamedTuple

from mssr_rl.comparison.evidence import DROPPED, ComparedRun, Evidence
from mssr_rl.comparison.outcome import Outcome
from mssr_rl.comparison.rerun import NotHere, Reruns
from mssr_rl.config.recorded import NO_WORDS
from mssr_rl.envs import ProblemEnv
from mssr_rl.grading import workers
from mssr_rl.report.runfiles import Row


class RegradedSample(NamedTuple):
    """The faults and counts from grading one run's recorded answers again."""

    faults: list[str]
    rows: int  # rows that were graded
    left: list[str]  # one reason per row that was not graded


def check_gradings(evidence: Evidence, words: Mapping[str, str] = NO_WORDS) -> Outcome:
    """Grade every recorded answer of every run again; return the faults and what was checked."""
    reruns = Reruns(evidence, words)
    workers.warm()
    runs = [run for run in evidence.runs if run.files is not None and run.state != DROPPED]
    regraded = [_run(run, reruns) for run in runs]
    left = Counter(reason for one in regraded for reason in one.left)
    rows = sum(one.rows for one in regraded)
    return Outcome(
        faults=tuple(fault for one in regraded for fault in one.faults),
        checked=(f"{rows:,} recorded answers earn what they earned, graded again",) if rows else (),
        unchecked=tuple(f"{n:,} recorded answers: {why}" for why, n in left.items()),
    )


def _run(run: ComparedRun, reruns: Reruns) -> RegradedSample:
    faults: list[str] = []
    graded, left = 0, []
    for split, rows in _by_split(run.files.samples if run.files else ()).items():
        try:
            env = reruns.problems(run, split, to_grade=True)
        except NotHere as why:
            left += [str(why)] * len(rows)
            continue
        faults += [f"runs/{run.name}/samples.jsonl: {fault}" for fault in _faults(env, rows)]
        graded += len(rows)
    return RegradedSample(faults, graded, left)


def _by_split(samples: Iterable[Row]) -> dict[str, list[Row]]:
    by_split: dict[str, list[Row]] = {}
    for row in samples:
        by_split.setdefault(str(row.get("split")), []).append(row)
    return by_split


def _faults(env: ProblemEnv, rows: Sequence[Row]) -> Iterator[str]:
    number = {problem.key: i for i, problem in enumerate(env.problems)}
    for row in rows:
        where = f"{row.get('key')!s:.60} on {env.split} at step {row['step']}"
        at = number.get(str(row.get("key")))
        if at is None:
            yield f"{where} is not a problem of {env.name}"
            continue
        yield from (f"{where} {fault}" for fault in _fault(env, at, row))


def _fault(env: ProblemEnv, at: int, row: Row) -> Iterator[str]:
    problem = env.problems[at]
    for name, ours in (("answer", problem.answer), ("prompt", problem.prompt)):
        if row.get(name) != ours:
            yield f"has the {name} {row.get(name)!r:.60}, the problem's is {ours!r:.60}"
    response = row.get("response")
    if not isinstance(response, str):
        yield "has no response"
        return
    (graded,) = env.grade([at], [response])
    noise = env.split == "train" and (env.random_reward or env.handling.reward_flip > 0)
    for name, then, now in (
        *(() if noise else (("reward", row.get("reward"), graded.reward),)),
        ("reason", row.get("reason"), graded.verdict.reason),
        ("extracted", row.get("extracted"), graded.verdict.extracted),
    ):
        if not _same(then, now):
            yield f"has the {name} {then!r:.60}, graded again it is {now!r:.60}"
            return


def _same(then: object, now: object) -> bool:
    if isinstance(then, int | float) and isinstance(now, int | float):
        return isclose(then, now)
    return then == now
