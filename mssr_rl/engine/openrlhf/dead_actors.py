"""Wait for the processes of a run, and say which one died.

A dead process shows in three ways: Ray reports it, an answer has an error that only a dead process
beside it explains, or vLLM's engine core is gone while its actor lives. Every other error in an
answer is a bug of ours or a user's error, and is raised as it is.
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
    """The processes of a run by name, and the calls that return only when a rollout engine dies."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}  # actor id → name of the process
        # A call that never returns → name of the process that runs it.
        self.alarms: dict[Any, str] = {}

    def enter(self, actors: Mapping[str, Any], *, alarmed: bool = False) -> None:
        """Add processes. An `alarmed` process has a method `until_death`, which is called here."""
        for name, actor in actors.items():
            self.names[actor._actor_id.hex()] = name  # noqa: SLF001  Ray has no public name for it
            if alarmed:
                self.alarms[actor.until_death.remote()] = name

    def gather(self, calls: Sequence[Any]) -> list[Any]:
        """Return the answers in order.

        Raises EngineLost as soon as one of them cannot come any more.
        """
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
        """Raise the error that this one stands for."""
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
        """Return the name of a process that Ray knows to be dead, or None."""
        for call, name in self.alarms.items():
            if ray.wait([call], timeout=0)[0]:
                return name
        return None

    def _died(self, name: str) -> str:
        return f"{name} died"
