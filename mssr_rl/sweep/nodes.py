"""Start runs as processes on the machines of a Ray cluster.

    compare algo=grpo,mssr env=vision_r1 seeds=5 ray=auto comparisons_dir=/shared/comparisons

All machines need this package. They must see the comparison's folder under the same path, because
the state of a run is only in its folder. Ray chooses a machine by free cores and memory. A Ray
actor starts the run, waits for its end and passes signals to it. If the actor or its machine dies,
this counts as a crash, and the run is tried once more.
"""

import os
import signal
import socket
from collections.abc import Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

from mssr_rl.errors import UserError
from mssr_rl.sweep import process
from mssr_rl.sweep.machine import Machine

PACKAGE = Path(__file__).parents[2]  # the folder that contains `mssr_rl`
PATIENCE = 10.0  # time limit for a connection [s]
LOST = 1  # the exit code of a run whose machine is gone


def join(address: str) -> tuple[Machine, ...]:
    """Connect to a running cluster and return its machines.

    Raise `UserError` if the cluster does not answer.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UserError(
            f"ray={address} needs Ray, which is not installed: bash scripts/run.sh "
            "engine=openrlhf --plan installs it, or leave ray= out"
        ) from error
    if not ray.is_initialized():
        path = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        runtime_env: dict[str, Any] = {"env_vars": {"PYTHONPATH": path}}
        try:
            _knock(address)
            ray.init(
                address=address,
                runtime_env=runtime_env,
                log_to_driver=False,
                configure_logging=False,
            )
        except (ConnectionError, ValueError) as error:
            raise UserError(
                f"ray={address}: no Ray cluster answers there ({str(error).splitlines()[0]}); "
                "start one with `ray start --head`, or leave ray= out"
            ) from error
    return tuple(
        Machine(int(node["Resources"].get("CPU", 0)), node["Resources"].get("memory", 0.0))
        for node in ray.nodes()
        if node["Alive"]
    )


def _knock(address: str) -> None:
    """Raise `ConnectionError` if no program listens at `address`.

    Without this check, Ray would try to connect for many minutes.
    """
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), PATIENCE).close()
        except OSError as error:
            raise ConnectionError(str(error)) from error


def refuse_blind_nodes(folder: Path) -> None:
    """Raise `UserError` unless every machine of the cluster sees the comparison's folder."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look = ray.remote(num_cpus=0)(_sees)
    answers = {
        node["NodeManagerAddress"]: look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(str(folder.resolve()))
        for node in ray.nodes()
        if node["Alive"]
    }
    blind = [address for address, answer in answers.items() if not ray.get(answer)]
    if blind:
        raise UserError(
            f"{', '.join(blind)} of the Ray cluster cannot see {folder.resolve()}; "
            "comparisons_dir= must be a folder that all machines share, under one path"
        )


def launch(words: Sequence[str], log: Path, threads: int) -> "Remote":
    """Start a run on a machine of the cluster with enough free cores.

    The arguments are those of `process.launch`.
    """
    import ray

    actor = ray.remote(num_cpus=threads, max_concurrency=2)(_Keeper).remote(str(Path.cwd()))
    return Remote(
        actor, actor.begun.remote(), actor.keep.remote(list(words), str(log.resolve()), threads)
    )


class Remote:
    """A run on a machine of the cluster, with the interface of `process.Process`."""

    def __init__(self, actor: Any, begun: Any, code: Any) -> None:
        self._actor, self._begun, self._ref = actor, begun, code
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code; None while the run waits for a machine or is running."""
        return self._look(timeout=0)

    def wait(self) -> int:
        """Wait for the end of the run and return its exit code."""
        code = self._look(timeout=None)
        assert code is not None
        return code

    def send_signal(self, signum: int) -> None:
        """Send a signal to the run. A run that still waits for a machine is cancelled."""
        import ray

        if ray.wait([self._begun], timeout=0)[0]:
            self._actor.tell.remote(signum)
        else:
            ray.kill(self._actor)

    def terminate(self) -> None:
        """Send SIGTERM to the run."""
        self.send_signal(signal.SIGTERM)

    def _look(self, timeout: float | None) -> int | None:
        import ray
        from ray.exceptions import RayError

        if self._code is None and ray.wait([self._ref], timeout=timeout)[0]:
            try:
                self._code = int(ray.get(self._ref))
            except RayError:
                self._code = LOST
            ray.kill(self._actor)  # the actor keeps its cores while it lives
        return self._code


class _Keeper:
    """The Ray actor that starts a run on its machine and waits for the end."""

    def __init__(self, folder: str) -> None:
        os.chdir(folder)
        self._told: list[int] = []
        self._child: Popen[bytes] | None = None

    def begun(self) -> bool:
        """Return True; an answer shows that the actor has started on a machine."""
        return True

    def keep(self, words: list[str], log: str, threads: int) -> int:
        """Start the run, wait for its end and return its exit code."""
        if self._told:
            return -self._told[0]
        self._child = process.launch(words, Path(log), threads)
        for signum in self._told:  # signals that came while the run was started
            self._child.send_signal(signum)
        return self._child.wait()

    def tell(self, signum: int) -> None:
        """Send a signal to the run."""
        self._told.append(signum)
        if self._child is not None:
            self._child.send_signal(signum)


def _sees(folder: str) -> bool:
    return Path(folder).is_dir()
