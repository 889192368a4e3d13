"""Scores a policy on a split: greedy accuracy, and mean@k at temperature 1, for every problem.

Evaluation rollouts appear in the ledger, but they are not charged. The seeds do not depend on the
step. So all evaluations of a run, and those of paired arms, use the same random numbers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mssr_rl.budget import Ledger
from mssr_rl.engine_protocol import Engine, Sampling
from mssr_rl.envs.environment import ProblemEnv
from mssr_rl.errors import RunFailed
from mssr_rl.metric_names import ACCURACY, ACCURACY_SAMPLED, score_name
from mssr_rl.problem import Problem
from mssr_rl.run.marking import Unscorable, graded
from mssr_rl.run.samples import Sample
from mssr_rl.seeds import derive


@dataclass(frozen=True, kw_only=True)
class EvalPlan:
    """The settings with which a split is scored."""

    sampling: Sampling  # top_p and the length limit; the temperature is set here
    samples: int  # k of mean@k
    limit: int | None  # score only this many problems, from the first on
    at_once: int  # rollouts per call of the engine; an evaluation can be ended between calls
    seed: int
    unscorable: Unscorable = "stop"


class Score(NamedTuple):
    """The short form of an evaluation, for checkpoints and summaries."""

    step: int
    env: str
    split: str
    n: int
    accuracy: float  # greedy
    accuracy_sampled: float  # mean@k at temperature 1
    samples: int  # k


class Evaluation(NamedTuple):
    """The full result of scoring one split."""

    score: Score
    problems: tuple[Problem, ...]  # n
    right: tuple[int, ...]  # n, 0 or 1, greedy
    right_sampled: tuple[int, ...]  # n, number of right answers of k
    greedy: tuple[Sample, ...]  # n, the greedy answers
    spent: Ledger
    unscorable: int = 0  # problems left out, because an answer to them has no reward


def evaluate(
    engine: Engine, env: ProblemEnv, plan: EvalPlan, step: int, poll: Callable[[], None]
) -> Evaluation:
    """Score the problems of `env`. `poll` is called between batches, and may raise to end early.

    With `unscorable=leave_out`, a problem is left out if any of its answers cannot be scored.

    Raises `RunFailed` if no problem is left.
    """
    rows = range(len(env.problems))[: plan.limit]
    greedy_sampling = replace(plan.sampling, temperature=0.0)
    greedy, spent = _answers(engine, env, replace(plan, sampling=greedy_sampling, samples=1), poll)
    drawn_sampling = replace(plan.sampling, temperature=1.0)
    drawn, spent_too = _answers(engine, env, replace(plan, sampling=drawn_sampling), poll)
    k = plan.samples
    of_each = [(row, greedy[row], drawn[row * k : (row + 1) * k]) for row in rows]
    kept = [one for one in of_each if all(s.scored for s in (one[1], *one[2]))]
    if not kept:
        raise RunFailed(
            f"no problem of {env.name} {env.split} could be scored at step {step}: every one has "
            "an answer without a reward; correct the environment's reward"
        )
    right = tuple(int(one.graded.verdict.correct) for _, one, _ in kept)
    right_sampled = tuple(sum(s.graded.verdict.correct for s in others) for _, _, others in kept)
    n = len(kept)
    score = Score(step, env.name, env.split, n, sum(right) / n, sum(right_sampled) / (n * k), k)
    return Evaluation(
        score,
        tuple(env.problems[row] for row, _, _ in kept),
        right,
        right_sampled,
        tuple(one for _, one, _ in kept),
        spent + spent_too,
        len(rows) - n,
    )


def rescored(evaluation: Evaluation, right: Sequence[bool]) -> Evaluation:
    """Return the same evaluation with `right` as the verdicts on the greedy answers."""
    score = evaluation.score._replace(accuracy=sum(right) / len(right))
    return evaluation._replace(score=score, right=tuple(map(int, right)))


def _answers(
    engine: Engine, env: ProblemEnv, plan: EvalPlan, poll: Callable[[], None]
) -> tuple[list[Sample], Ledger]:
    """Return `plan.samples` graded answers to every problem, and their cost.

    The answers to one problem are consecutive.
    """
    answers: list[Sample] = []
    spent = Ledger()
    for rows in _chunks(range(len(env.problems))[: plan.limit], plan.at_once // plan.samples):
        poll()
        problems = [env.problems[row] for row in rows]
        seed = derive(plan.seed, "evaluate", env.name, env.split, rows[0])
        rollouts = engine.rollout(problems, plan.samples, plan.sampling, seed)
        answers += graded(env, rows, rollouts, plan.unscorable)
        spent += Ledger(evaluation_rollouts=len(rollouts.responses))
    return answers, spent


def _chunks(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    size = max(size, 1)
    return (rows[start : start + size] for start in range(0, len(rows), size))


def evaluation_record(evaluation: Evaluation, ledger: Ledger) -> dict[str, Any]:
    """Return one object for eval.jsonl."""
    keys = [problem.key for problem in evaluation.problems]
    return {
        **evaluation.score._asdict(),
        "per_problem": dict(zip(keys, evaluation.right, strict=True)),
        "per_problem_sampled": dict(zip(keys, evaluation.right_sampled, strict=True)),
        "by_tag": by_tag(evaluation),
        **({"unscorable": evaluation.unscorable} if evaluation.unscorable else {}),
        "budget": {**ledger.marks(), "image_tokens": ledger.image_tokens},
    }


def by_tag(evaluation: Evaluation) -> dict[str, dict[str, dict[str, float]]]:
    """Return the accuracy for every value of every tag of the problems, e.g. family and level."""
    members: dict[str, dict[str, list[int]]] = {}
    for index, problem in enumerate(evaluation.problems):
        for tag, value in problem.tags.items():
            members.setdefault(tag, {}).setdefault(value, []).append(index)
    return {
        tag: {value: _accuracy_of(evaluation, values[value]) for value in sorted(values)}
        for tag, values in sorted(members.items())
    }


def _accuracy_of(evaluation: Evaluation, indices: Sequence[int]) -> dict[str, float]:
    n, k = len(indices), evaluation.score.samples
    return {
        "n": n,
        "accuracy": sum(evaluation.right[i] for i in indices) / n,
        "accuracy_sampled": sum(evaluation.right_sampled[i] for i in indices) / (n * k),
    }


def score_line(score: Score) -> str:
    """Return a score as one line of text."""
    return (
        f"{score.split} at step {score.step}: {score.accuracy:.1%} greedy, "
        f"{score.accuracy_sampled:.1%} mean@{score.samples} at temperature 1 "
        f"({score.n} problems of {score.env})"
    )


def chart(score: Score) -> dict[str, float]:
    """Return a score as {name: value} for TensorBoard."""
    return {
        score_name(score.split, ACCURACY): score.accuracy,
        score_name(score.split, ACCURACY_SAMPLED): score.accuracy_sampled,
    }
