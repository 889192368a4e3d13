"""Wait for the results of a run's processes, and report which process died.

There are three signs of a dead process. Ray reports it, or a call fails because another process
died, or vLLM's engine core has ended although its actor still runs. Any other error of a call is a
bug in this package or a user's error, and is raised unchanged.
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

from mssr_rl.engine.openrlhf import worker_logs
from mssr_rl.errors import EngineLost, RunFailed, UserError

GONE = (ActorDiedError, ActorUnavailableError, RayActorError)
SIGNS = ("EngineDeadError", "RayActorError", "ActorDiedError", "Connection reset", "closed by peer")


class Roll:
    """The processes of a run with their names, and calls that return only if a process dies."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}  # actor id → name of the process
        # A call that never returns → name of the process that runs it.
        self.alarms: dict[Any, str] = {}

    def enter(self, actors: Mapping[str, Any], *, alarmed: bool = False) -> None:
        """Add processes with their names.

        With `alarmed`, their method `until_death` is called, which returns only if they die.
        """
        for name, actor in actors.items():
            self.names[actor._actor_id.hex()] = name  # noqa: SLF001  Ray has no public name for it
            if alarmed:
                self.alarms[actor.until_death.remote()] = name

    def gather(self, calls: Sequence[Any]) -> list[Any]:
        """Return the results of the calls, in their order.

        Raises EngineLost as soon as a process has died. Other errors of a call are raised too.
        """
        waiting = set(calls)
        while waiting:
            ready, _ = ray.wait([*waiting, *self.alarms], num_returns=1)
            for call in ready:
                if call in self.alarms:
                    raise EngineLost(_died(self.alarms[call], _error_of(call)))
                self._check(call)
                waiting.discard(call)
        return [ray.get(call) for call in calls]

    def _check(self, call: Any) -> None:
        try:
            ray.get(call)
        except GONE as error:
            name = self.names.get(getattr(error, "actor_id", None) or "", "a process")
            raise EngineLost(_died(name, error)) from error
        except OutOfMemoryError as error:
            raise RunFailed(
                "this machine ran short of memory and Ray ended a process of the run; fewer ranks "
                "or rollout engines (cluster.*) need less, and so does a smaller train.micro_batch"
            ) from error
        except RayTaskError as error:
            self._explain(error)

    def _explain(self, error: RayTaskError) -> None:
        """Raise the error that caused a failed call.

        It is a UserError of the process, EngineLost if a process died, or else the error itself.
        """
        cause = error.cause
        if isinstance(cause, UserError):
            raise UserError(str(cause)) from error
        dead = self.dead()
        if dead is not None:
            raise EngineLost(_died(self.alarms[dead], _error_of(dead))) from error
        shown = next((sign for sign in SIGNS if sign in str(error)), None)
        if shown:
            beside = f"a process beside the one that reports {shown}"
            raise EngineLost(_died(beside, error)) from error
        raise error

    def dead(self) -> Any | None:
        """Return the `until_death` call of a process that has died; None if there is none."""
        return next((call for call in self.alarms if ray.wait([call], timeout=0)[0]), None)


def _died(name: str, error: BaseException | None) -> str:
    return f"{name} died{worker_logs.cause(error)}"


def _error_of(alarm: Any) -> BaseException | None:
    """Return the error that Ray raises for an `until_death` call that has ended, or None."""
    try:
        ray.get(alarm)
    except (*GONE, RayTaskError) as error:
        caught: BaseException = error
        return caught
    return None
