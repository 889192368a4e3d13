"""What an environment gave for responses, looked at before anything is made of it.

An environment may be anybody's code: it may raise on one row, or give None, NaN, infinity or a text
for a reward. Whatever it is, the sentence names the problem, its row and the response. A response
that nothing could score (None, NaN) is a case of its own: it ends the run, or the rollout is left
out as if it had not been drawn, and counted (`fault.unscorable`).
"""

import math
import time
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal

from mssr_rl.engine.protocol import Rollouts
from mssr_rl.envs.environment import Graded, ProblemEnv
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.grading.verify import Verdict
from mssr_rl.run.mishaps import EnvironmentFailed, place
from mssr_rl.run.samples import Sample, shown

Unscorable = Literal["stop", "leave_out"]
PATIENCE = 30.0  # [s] to look for the response that an environment raises on


def graded(
    env: ProblemEnv, rows: Sequence[int], rollouts: Rollouts, unscorable: Unscorable = "stop"
) -> list[Sample]:
    """Every rollout with its verdict; `rows` are the P problems' rows in `env`.

    The reward of one that nothing could score is NaN (`Sample.scored`).

    Raises:
        EnvironmentFailed: it raised, or gave what is no reward.
    """
    row_B = [row for row in rows for _ in range(rollouts.group_size)]
    marks = marked(env, row_B, rollouts.responses, unscorable, ", then resume=true")
    pairs = zip(row_B, rollouts.responses, marks, strict=True)
    return [Sample(env.problems[row], response, mark) for row, response, mark in pairs]


def marked(
    env: ProblemEnv,
    rows: Sequence[int],
    responses: Sequence[str],
    unscorable: Unscorable,
    again: str = "",
) -> list[Graded]:
    """What `env` gives for `responses[i]` to the problem of `rows[i]`, checked.

    `again` is how to go on once it is mended, for the end of a sentence.
    """
    found = _asked(env, rows, responses, again)
    if not isinstance(found, Sequence) or len(found) != len(rows):
        many = len(found) if isinstance(found, Sequence) else type(found).__name__
        raise EnvironmentFailed(
            f"the environment {env.name} gave {many} verdicts for {len(rows)} responses; its grade "
            f"must give one each, in their order: mend it{again}"
        )
    return [
        _checked(mark, _Place(env, row, response, again), unscorable)
        for mark, row, response in zip(found, rows, responses, strict=True)
    ]


def of_row(env: ProblemEnv, row: int) -> str:
    """A problem and where it stands, for a sentence."""
    return f"problem {shown(env.problems[row].key)} (row {row} of {env.split}, counted from 0)"


class _Place:
    """Which response a mark is for."""

    def __init__(self, env: ProblemEnv, row: int, response: str, again: str) -> None:
        self.env, self.row, self.response, self.again = env, row, response, again

    def fails(self, what: str, mend: str, otherwise: str = "") -> EnvironmentFailed:
        return EnvironmentFailed(
            f"the environment {self.env.name} {what} for an answer to {of_row(self.env, self.row)}"
            f": {shown(self.response)}; mend its {mend}{self.again}{otherwise}"
        )


def _asked(env: ProblemEnv, rows: Sequence[int], responses: Sequence[str], again: str) -> Any:
    try:
        return env.grade(rows, responses)
    except (UserError, RunFailed):
        raise
    except Exception as error:  # an environment may be anybody's code
        at = _first_that_raises(env, rows, responses)
        what = f"raised {type(error).__name__}: {error} ({place(error)})"
        never = "; a response is never to blame, however odd"
        if at is None:
            raise EnvironmentFailed(
                f"the environment {env.name} {what} while it graded {len(rows)} responses, the "
                f"first of them to {of_row(env, rows[0])}{never}: mend its verify or reward{again}"
            ) from error
        where = _Place(env, rows[at], responses[at], again)
        raise where.fails(what, "verify or reward", never) from error


def _first_that_raises(
    env: ProblemEnv, rows: Sequence[int], responses: Sequence[str]
) -> int | None:
    """Asked one by one, which it raises on; None if on none, or if that takes too long."""
    end = time.monotonic() + PATIENCE
    for at, (row, response) in enumerate(zip(rows, responses, strict=True)):
        if time.monotonic() > end:
            return None
        try:
            env.grade([row], [response])
        except Exception:  # noqa: BLE001  that it raises is what is asked
            return at
    return None


def _checked(mark: Any, where: _Place, unscorable: Unscorable) -> Graded:
    if not isinstance(mark, tuple) or len(mark) != 2:
        raise where.fails(
            f"gave {shown(repr(mark))}, which is no Graded(reward, verdict),",
            "grade",
        )
    reward, verdict = _number(mark[0]), mark[1]
    if reward is None:
        raise where.fails(
            f"gave the reward {shown(repr(mark[0]))}, which is no finite number,",
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
        raise where.fails(f"gave {shown(repr(verdict))}, which is no Verdict,", "grade")
    return Graded(reward, verdict)


def _number(found: Any) -> float | None:
    """A reward as a number; NaN for one that is missing, None for what is none."""
    if found is None:
        return math.nan
    if not isinstance(found, Real) and getattr(found, "shape", None) == ():
        found = found.item()  # a scalar of numpy or torch
    if not isinstance(found, Real):
        return None
    number = float(found)
    return None if math.isinf(number) else number
