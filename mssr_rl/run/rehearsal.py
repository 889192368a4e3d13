"""Before an engine is started: problems of somebody's own environment are posed and graded once.

What cannot be posed or graded stands in a row from the start, and is found in seconds here, not in
the hour in which that row comes. Keys are looked at for every environment; posing and grading only
for one that the package does not bring, whose rows the reader has not been through.
Those two passes end after `PATIENCE`: an environment may ask a model for its verdicts. What they
have not reached is found when it comes.
"""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from mssr_rl.envs import ProblemEnv, environments
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.run.marking import Unscorable, marked, of_row
from mssr_rl.run.mishaps import EnvironmentFailed, place
from mssr_rl.run.samples import shown

PATIENCE = 10.0  # [s] for each pass over a split
MOST_AT_ONCE = 64  # answers
OURS = "mssr_rl."


def rehearse(env: ProblemEnv, registered: str, unscorable: Unscorable) -> None:
    """Raise if a problem cannot be told apart, posed or graded; the sentence names its row.

    `registered` is what `env=` called the environment: its own name may be another's.

    Raises:
        UserError: two problems have one key.
        EnvironmentFailed: the environment raised, or gave what is no observation or no reward.
    """
    _keys(env)
    if environments.module(registered).startswith(OURS):
        return
    end = time.monotonic() + PATIENCE
    for row in range(len(env.problems)):
        _pose(env, row)
        if time.monotonic() > end:
            break
    end = time.monotonic() + PATIENCE
    for rows in _portions(len(env.problems)):
        _grade(env, rows, unscorable)
        if time.monotonic() > end:
            break


def _keys(env: ProblemEnv) -> None:
    rows: dict[str, int] = {}
    for row, problem in enumerate(env.problems):
        if rows.setdefault(problem.key, row) != row:
            raise UserError(
                f"{of_row(env, row)} of env={env.name} has the key of row {rows[problem.key]}; "
                "results and the value tracker go by it: give every problem a key of its own"
            )


# ---- posing and grading ----------------------------------------------------------------------


def _pose(env: ProblemEnv, row: int) -> None:
    try:
        observation: Any
        observation, _ = env.reset(options={"index": row})
    except (UserError, RunFailed):
        raise
    except Exception as error:  # an environment may be anybody's code
        raise EnvironmentFailed(
            f"the environment {env.name} raised while it posed {of_row(env, row)}: "
            f"{type(error).__name__}: {error} ({place(error)}); mend its reset or the row"
        ) from error
    prompt = observation.get("prompt") if isinstance(observation, Mapping) else None
    if not isinstance(prompt, str):
        raise EnvironmentFailed(
            f"the environment {env.name} posed {of_row(env, row)} without a text under `prompt`: "
            f"{shown(repr(observation))}; mend its reset"
        )
    if prompt != env.problems[row].prompt:
        raise EnvironmentFailed(
            f"the environment {env.name} poses {of_row(env, row)} as {shown(prompt)}, but the "
            f"policy is shown Problem.prompt, {shown(env.problems[row].prompt)}: make the problem "
            "what is to be asked, in place of another reset"
        )


def _grade(env: ProblemEnv, rows: range, unscorable: Unscorable) -> None:
    """Grade the problems' own answers; what these earn is not looked at (`check env=` does)."""
    answers = [env.rules.respond(env.problems[row].answer) for row in rows]
    marked(env, rows, answers, unscorable)


def _portions(count: int) -> Iterator[range]:
    """Few problems first: nobody knows yet how long one takes."""
    start, size = 0, 1
    while start < count:
        yield range(start, min(start + size, count))
        start, size = start + size, min(2 * size, MOST_AT_ONCE)
