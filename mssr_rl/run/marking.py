"""Grades responses with an environment, and checks its verdicts before they are used.

An environment can be code of the user. It may raise on one row, or return None, NaN, infinity or
text as a reward. The error message then names the problem, its row and the response. None and NaN
mean that the response could not be scored. Then `fault.unscorable` decides: the run ends, or the
rollout is left out of training and counted.
"""

import math
import time
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

from mssr_rl.engine_protocol import Rollouts
from mssr_rl.envs.environment import Graded, ProblemEnv
from mssr_rl.envs.visits import paid_in_training
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.grading.verify import Verdict
from mssr_rl.problem import Problem
from mssr_rl.run.mishaps import EnvironmentFailed, place
from mssr_rl.run.samples import Sample, shown

Unscorable = Literal["stop", "leave_out"]
PATIENCE = 30.0  # [s] time to search for the response on which an environment raises


def graded(
    env: ProblemEnv, rows: Sequence[int], rollouts: Rollouts, unscorable: Unscorable = "stop"
) -> list[Sample]:
    """Return every rollout with its verdict; `rows` are the rows of the P problems in `env`.

    The reward of a rollout that could not be scored is NaN (see `Sample.scored`).

    Raises:
        EnvironmentFailed: the environment raised, or returned something that is not a reward.
    """
    row_B = [row for row in rows for _ in range(rollouts.group_size)]
    marks = marked(env, row_B, rollouts.responses, unscorable, ", then resume=true")
    pairs = zip(row_B, rollouts.responses, marks, strict=True)
    return [Sample(env.problems[row], response, mark) for row, response, mark in pairs]


def learns(env: ProblemEnv, problem: Problem, pieces: Sequence[str]) -> list[bool]:
    """Return whether each token of a response has loss; `pieces` are the texts of the tokens.

    Raises `EnvironmentFailed` if the environment's `without_loss` raises, or does not return one
    bool for each token.
    """
    assert env.without_loss is not None
    what = "without_loss(problem, pieces)"
    try:
        without = list(env.without_loss(problem, pieces))
    except Exception as error:  # code of the user may raise anything
        raise EnvironmentFailed(
            f"{what} of the environment {env.name} raised {type(error).__name__}: {error} "
            f"({place(error)}) on a response to problem {shown(problem.key)}; correct it, then "
            "resume=true"
        ) from error
    if len(without) != len(pieces) or not all(isinstance(one, bool) for one in without):
        raise EnvironmentFailed(
            f"{what} of the environment {env.name} must return one bool for each of the "
            f"{len(pieces)} tokens of a response to problem {shown(problem.key)}, not "
            f"{shown(repr(without))}; correct it, then resume=true"
        )
    return [not one for one in without]


def noised(env: ProblemEnv, samples: Sequence[Sample], visit: int) -> list[Sample]:
    """Return graded rollouts with the rewards that training gets at a visit (`envs.visits`).

    `visit` is the seed of the visit. Verdicts do not change.
    """
    paid = paid_in_training(env, [sample.graded for sample in samples], visit)
    return [sample._replace(graded=one) for sample, one in zip(samples, paid, strict=True)]


def marked(
    env: ProblemEnv,
    rows: Sequence[int],
    responses: Sequence[str],
    unscorable: Unscorable,
    again: str = "",
) -> list[Graded]:
    """Return the checked results of `env` for `responses[i]` to the problem of `rows[i]`.

    `again` ends the error messages: it says how to continue after the environment is repaired.
    Raises `EnvironmentFailed` as `graded` does.
    """
    marks = _asked(env, rows, responses, again)
    if not isinstance(marks, Sequence) or len(marks) != len(rows):
        many = len(marks) if isinstance(marks, Sequence) else type(marks).__name__
        raise EnvironmentFailed(
            f"the environment {env.name} gave {many} verdicts for {len(rows)} responses; its grade "
            f"must give one each, in their order: correct it{again}"
        )
    return [
        _checked(mark, _Place(env, row, response, again), unscorable)
        for mark, row, response in zip(marks, rows, responses, strict=True)
    ]


def of_row(env: ProblemEnv, row: int) -> str:
    """Return a text that names a problem by key and row, for an error message."""
    return f"problem {shown(env.problems[row].key)} (row {row} of {env.split}, counted from 0)"


class _Place:
    """The environment, row and response of one result, from which error messages are made."""

    def __init__(self, env: ProblemEnv, row: int, response: str, again: str) -> None:
        self.env, self.row, self.response, self.again = env, row, response, again

    def fails(self, what: str, mend: str, otherwise: str = "") -> EnvironmentFailed:
        return EnvironmentFailed(
            f"the environment {self.env.name} {what} for an answer to {of_row(self.env, self.row)}"
            f": {shown(self.response)}; correct its {mend}{self.again}{otherwise}"
        )


def _asked(env: ProblemEnv, rows: Sequence[int], responses: Sequence[str], again: str) -> Any:
    try:
        return env.grade(rows, responses)
    except (UserError, RunFailed):
        raise
    except Exception as error:  # code of the user may raise anything
        at = _first_that_raises(env, rows, responses)
        what = f"raised {type(error).__name__}: {error} ({place(error)})"
        never = "; a response is never to blame, however odd"
        if at is None:
            raise EnvironmentFailed(
                f"the environment {env.name} {what} while it graded {len(rows)} responses, the "
                f"first of them to {of_row(env, rows[0])}{never}: correct its verify or "
                f"reward{again}"
            ) from error
        where = _Place(env, rows[at], responses[at], again)
        raise where.fails(what, "verify or reward", never) from error


def _first_that_raises(
    env: ProblemEnv, rows: Sequence[int], responses: Sequence[str]
) -> int | None:
    """Grade the responses one by one; return the index of the first one that raises.

    Returns None if no response raises, or if the search takes longer than `PATIENCE`.
    """
    end = time.monotonic() + PATIENCE
    for at, (row, response) in enumerate(zip(rows, responses, strict=True)):
        if time.monotonic() > end:
            return None
        try:
            env.grade([row], [response])
        except Exception:  # noqa: BLE001  the search is for a response that raises
            return at
    return None


def _checked(mark: Any, where: _Place, unscorable: Unscorable) -> Graded:
    if not isinstance(mark, tuple) or len(mark) != 2:
        raise where.fails(
            f"gave {shown(repr(mark))}, which is not a Graded(reward, verdict),",
            "grade",
        )
    reward, verdict = _number(mark[0]), mark[1]
    if reward is None:
        raise where.fails(
            f"gave the reward {shown(repr(mark[0]))}, which is not a finite number,",
            "reward",
        )
    if math.isnan(reward):
        if unscorable == "stop":
            raise where.fails(
                f"gave no reward ({shown(repr(mark[0]))})",
                "reward",
                "; or fault.unscorable=leave_out leaves such rollouts out of baselines, loss and "
                "accuracy, and counts them",
            )
        return Graded(math.nan, verdict if isinstance(verdict, Verdict) else Verdict("error", None))
    if not isinstance(verdict, Verdict):
        raise where.fails(f"gave {shown(repr(verdict))}, which is not a Verdict,", "grade")
    return Graded(reward, verdict)


def _number(value: Any) -> float | None:
    """Return a reward as a float: NaN for None, and None for a value that is not a number."""
    if value is None:
        return math.nan
    if not isinstance(value, Real) and getattr(value, "shape", None) == ():
        value = value.item()  # a scalar of numpy or torch
    if not isinstance(value, Real):
        return None
    number = float(value)
    return None if math.isinf(number) else number
