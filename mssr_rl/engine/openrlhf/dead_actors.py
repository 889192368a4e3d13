"""Waiting for the processes of a run, and saying which one died.

A dead process shows in three ways: Ray says so, an answer carries an error that only a dead
neighbour explains, or vLLM's engine core is gone behind a living actor. Everything else that an
answer raises is a bug of ours or a user's error, and comes through as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    OutOfMemoryError,
    RayActorError,
    RayTaskError,
)

from mssr_rl.errors import EngineLost, RunFailed, UserError

GONE = (ActorDiedError, ActorUnavailableError, RayActorError)
SIGNS = ("EngineDeadError", "RayActorError", "ActorDiedError", "Connection reset", "closed by peer")


class Roll:
    """The processes of a run by name, and what tells at once that a rollout engine died."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}  # actor id → what it is
        self.alarms: dict[Any, str] = {}  # a call that never returns → what runs it

    def enter(self, actors: Mapping[str, Any], *, alarmed: bool = False) -> None:
        """Note processes; `alarmed` ones answer `until_death`."""
        for name, actor in actors.items():
            self.names[actor._actor_id.hex()] = name  # noqa: SLF001  Ray has no public name for it
            if alarmed:
                self.alarms[actor.until_death.remote()] = name

    def gather(self, calls: Sequence[Any]) -> list[Any]:
        """The answers in order; an `EngineLost` as soon as one cannot come any more."""
        waiting = set(calls)
        while waiting:
            ready, _ = ray.wait([*waiting, *self.alarms], num_returns=1)
            for call in ready:
                if call in self.alarms:
                    raise EngineLost(self._died(self.alarms[call]))
                self._check(call)
                waiting.discard(call)
        return [ray.get(call) for call in calls]

    def _check(self, call: Any) -> None:
        try:
            ray.get(call)
        except GONE as error:
            name = self.names.get(getattr(error, "actor_id", None) or "", "a process")
            raise EngineLost(self._died(name)) from error
        except OutOfMemoryError as error:
            raise RunFailed(
                "this machine ran short of memory and Ray ended a process of the run; fewer ranks "
                "or rollout engines (cluster.*) need less, and so does a smaller train.micro_batch"
            ) from error
        except RayTaskError as error:
            self._explain(error)

    def _explain(self, error: RayTaskError) -> None:
        """Raise what the error stands for."""
        cause = error.cause
        if isinstance(cause, UserError):
            raise UserError(str(cause)) from error
        dead = self.dead()
        if dead:
            raise EngineLost(self._died(dead)) from error
        told = next((sign for sign in SIGNS if sign in str(error)), None)
        if told:
            raise EngineLost(self._died(f"a process beside the one that reports {told}")) from error
        raise error

    def dead(self) -> str | None:
        """A process that Ray knows to be dead."""
        for call, name in self.alarms.items():
            if ray.wait([call], timeout=0)[0]:
                return name
        return None

    def _died(self, name: str) -> str:
        return f"{name} died"
