"""Tests an environment before the engine starts: every problem is posed and graded once.

This finds a bad row in seconds, and not after hours of training. Problem keys are checked for every
environment. Posing and grading are tried only for environments of the user, because the rows of the
others were checked when they were read. Both passes stop after `PATIENCE` seconds, because an
environment may call a slow model. Faults in the remaining rows appear during training.
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
    """Raise if a problem has no unique key, or cannot be posed or graded; name its row.

    `registered` is the name in `env=`; the `name` of the environment itself may be different.

    Raises:
        UserError: two problems have the same key.
        EnvironmentFailed: the environment raised, or returned a bad observation or reward.
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
                f"{of_row(env, row)} of env={env.name} has the same key as row "
                f"{rows[problem.key]}; results and the value tracker use the key: give every "
                "problem its own key"
            )


# ---- posing and grading ----------------------------------------------------------------------


def _pose(env: ProblemEnv, row: int) -> None:
    try:
        observation: Any
        observation, _ = env.reset(options={"index": row})
    except (UserError, RunFailed):
        raise
    except Exception as error:  # code of the user may raise anything
        raise EnvironmentFailed(
            f"the environment {env.name} raised while it posed {of_row(env, row)}: "
            f"{type(error).__name__}: {error} ({place(error)}); correct its reset or the row"
        ) from error
    prompt = observation.get("prompt") if isinstance(observation, Mapping) else None
    if not isinstance(prompt, str):
        raise EnvironmentFailed(
            f"the environment {env.name} posed {of_row(env, row)} without a text under `prompt`: "
            f"{shown(repr(observation))}; correct its reset"
        )
    if prompt != env.problems[row].prompt:
        raise EnvironmentFailed(
            f"the environment {env.name} poses {of_row(env, row)} as {shown(prompt)}, but the "
            f"policy is shown Problem.prompt, {shown(env.problems[row].prompt)}: change the prompt "
            "of the problem instead of reset"
        )


def _grade(env: ProblemEnv, rows: range, unscorable: Unscorable) -> None:
    """Grade the gold answers; their rewards are not checked here (`check env=` does this)."""
    answers = [env.rules.respond(env.problems[row].answer) for row in rows]
    marked(env, rows, answers, unscorable)


def _portions(count: int) -> Iterator[range]:
    """Yield ranges of rows that grow from 1, because the time for one row is not known yet."""
    start, size = 0, 1
    while start < count:
        yield range(start, min(start + size, count))
        start, size = start + size, min(2 * size, MOST_AT_ONCE)
