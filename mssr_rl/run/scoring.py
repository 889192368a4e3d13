"""Scoring a policy on a split: greedy accuracy and mean@k at temperature 1, problem by problem.

Evaluation rollouts are listed in the ledger, not charged. The seeds do not depend on the step, so
two evaluations of a run draw with the same random numbers, and so do paired arms.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mssr_rl.budget import Ledger
from mssr_rl.engine.base import Engine, Rollouts, Sampling
from mssr_rl.envs.base import ProblemEnv
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.problem import Problem
from mssr_rl.run.mishaps import EnvironmentFailed, place
from mssr_rl.run.samples import Sample
from mssr_rl.seeds import derive


@dataclass(frozen=True, kw_only=True)
class EvalPlan:
    """How a split is scored."""

    sampling: Sampling  # top_p and the length limit; the temperature is set here
    samples: int  # k of mean@k
    limit: int | None  # only the first so many problems
    at_once: int  # rollouts asked for together; between such portions an evaluation can be ended
    seed: int


class Score(NamedTuple):
    """The short form of an evaluation: what checkpoints and summaries keep."""

    step: int
    env: str
    split: str
    n: int
    accuracy: float  # greedy
    accuracy_sampled: float  # mean@k at temperature 1
    samples: int  # k


class Evaluation(NamedTuple):
    """One split, scored."""

    score: Score
    problems: tuple[Problem, ...]  # n
    right: tuple[int, ...]  # n, 0 or 1, greedy
    right_sampled: tuple[int, ...]  # n, how many of k
    greedy: tuple[Sample, ...]  # n, to show
    spent: Ledger


def evaluate(
    engine: Engine, env: ProblemEnv, plan: EvalPlan, step: int, poll: Callable[[], None]
) -> Evaluation:
    """Score `env`'s problems; `poll` is called between batches and may raise to end early."""
    rows = range(len(env.problems))[: plan.limit]
    problems = tuple(env.problems[row] for row in rows)
    greedy_sampling = replace(plan.sampling, temperature=0.0)
    greedy, spent = _answers(engine, env, replace(plan, sampling=greedy_sampling, samples=1), poll)
    right = tuple(int(sample.graded.verdict.correct) for sample in greedy)
    drawn_sampling = replace(plan.sampling, temperature=1.0)
    drawn, spent_too = _answers(engine, env, replace(plan, sampling=drawn_sampling), poll)
    right_sampled = tuple(
        sum(sample.graded.verdict.correct for sample in drawn[i : i + plan.samples])
        for i in range(0, len(drawn), plan.samples)
    )
    n, k = len(problems), plan.samples
    score = Score(step, env.name, env.split, n, sum(right) / n, sum(right_sampled) / (n * k), k)
    return Evaluation(score, problems, right, right_sampled, tuple(greedy), spent + spent_too)


def rescored(found: Evaluation, right: Sequence[bool]) -> Evaluation:
    """The same evaluation with other verdicts on the greedy answers."""
    score = found.score._replace(accuracy=sum(right) / len(right))
    return found._replace(score=score, right=tuple(map(int, right)))


def _answers(
    engine: Engine, env: ProblemEnv, plan: EvalPlan, poll: Callable[[], None]
) -> tuple[list[Sample], Ledger]:
    """`plan.samples` graded answers to every problem, problem-major, and what they cost."""
    answers: list[Sample] = []
    spent = Ledger()
    for rows in _chunks(range(len(env.problems))[: plan.limit], plan.at_once // plan.samples):
        poll()
        problems = [env.problems[row] for row in rows]
        seed = derive(plan.seed, "evaluate", env.name, env.split, rows[0])
        rollouts = engine.rollout(problems, plan.samples, plan.sampling, seed)
        answers += graded(env, rows, rollouts)
        spent += Ledger(evaluation_rollouts=len(rollouts.responses))
    return answers, spent


def graded(env: ProblemEnv, rows: Sequence[int], rollouts: Rollouts) -> list[Sample]:
    """Every rollout with its verdict; `rows` are the P problems' rows in `env`."""
    row_B = [row for row in rows for _ in range(rollouts.group_size)]
    try:
        verdicts = env.grade(row_B, rollouts.responses)
    except (UserError, RunFailed):
        raise
    except Exception as error:  # an environment may be anybody's code
        raise EnvironmentFailed(
            f"the environment {env.name} raised while it graded {len(row_B)} responses: "
            f"{type(error).__name__}: {error} ({place(error)}); a response is never to blame, "
            "however odd: mend its verify or reward, then resume=true"
        ) from error
    pairs = zip(row_B, rollouts.responses, verdicts, strict=True)
    return [Sample(env.problems[row], response, verdict) for row, response, verdict in pairs]


def _chunks(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    size = max(size, 1)
    return (rows[start : start + size] for start in range(0, len(rows), size))


def record(evaluation: Evaluation, ledger: Ledger) -> dict[str, Any]:
    """The object of eval.jsonl."""
    keys = [problem.key for problem in evaluation.problems]
    return {
        **evaluation.score._asdict(),
        "per_problem": dict(zip(keys, evaluation.right, strict=True)),
        "per_problem_sampled": dict(zip(keys, evaluation.right_sampled, strict=True)),
        "by_tag": by_tag(evaluation),
        "budget": {**ledger.marks(), "image_tokens": ledger.image_tokens},
    }


def by_tag(evaluation: Evaluation) -> dict[str, dict[str, dict[str, float]]]:
    """Accuracy within every value of every tag the problems carry, e.g. family and level."""
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
    """A score in words."""
    return (
        f"{score.split} at step {score.step}: {score.accuracy:.1%} greedy, "
        f"{score.accuracy_sampled:.1%} mean@{score.samples} at temperature 1 "
        f"({score.n} problems of {score.env})"
    )


def chart(score: Score) -> dict[str, float]:
    """A score as TensorBoard scalars."""
    return {
        f"{score.split}/accuracy": score.accuracy,
        f"{score.split}/accuracy_sampled": score.accuracy_sampled,
    }
