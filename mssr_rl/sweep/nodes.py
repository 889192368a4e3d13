"""Runs on the machines of a Ray cluster: the same processes as on this one, started there.

    compare algo=grpo,mssr env=vision_r1 seeds=5 ray=auto comparisons_dir=/shared/comparisons

All machines must see the comparison's folder under the same path, for everything that is known of a
run stands there; and each needs this package. Ray chooses the machine by free cores and memory. An
actor waits for its run and passes signals on; where it or its machine dies, the run's code is a
crash's, and the run is tried once more elsewhere.
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

PACKAGE = Path(__file__).parents[2]  # the folder that `mssr_rl` lies in
PATIENCE = 10.0  # for a connection [s]
LOST = 1  # the exit code of a run whose machine is gone


def join(address: str) -> tuple[Machine, ...]:
    """Join a running cluster; its machines."""
    try:
        import ray
    except ModuleNotFoundError as error:
        raise UserError(
            f"ray={address} needs Ray, which is not installed: bash scripts/run.sh "
            "engine=openrlhf --plan installs it, or leave ray= out"
        ) from error
    if not ray.is_initialized():
        path = os.pathsep.join([str(PACKAGE), os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
        told: dict[str, Any] = {"env_vars": {"PYTHONPATH": path}}
        try:
            _knock(address)
            ray.init(
                address=address, runtime_env=told, log_to_driver=False, configure_logging=False
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
    """Raises `ConnectionError` where nobody listens: Ray itself would try for many minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), PATIENCE).close()
        except OSError as error:
            raise ConnectionError(str(error)) from error


def refuse_blind_nodes(folder: Path) -> None:
    """Raises `UserError` unless every machine sees the comparison's folder."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    look = ray.remote(num_cpus=0)(_sees)
    asked = {
        node["NodeManagerAddress"]: look.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(str(folder.resolve()))
        for node in ray.nodes()
        if node["Alive"]
    }
    blind = [address for address, answer in asked.items() if not ray.get(answer)]
    if blind:
        raise UserError(
            f"{', '.join(blind)} of the Ray cluster cannot see {folder.resolve()}; "
            "comparisons_dir= must be a folder that all machines share, under one path"
        )


def launch(words: Sequence[str], log: Path, threads: int) -> "Remote":
    """As `process.launch`, on whichever machine has so many cores free."""
    import ray

    actor = ray.remote(num_cpus=threads, max_concurrency=2)(_Keeper).remote(str(Path.cwd()))
    return Remote(
        actor, actor.begun.remote(), actor.keep.remote(list(words), str(log.resolve()), threads)
    )


class Remote:
    """A run somewhere in the cluster, as the comparison sees a process."""

    def __init__(self, actor: Any, begun: Any, code: Any) -> None:
        self._actor, self._begun, self._ref = actor, begun, code
        self._code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, None while it waits for a machine or works."""
        return self._look(timeout=0)

    def wait(self) -> int:
        """Its exit code, once it has one."""
        code = self._look(timeout=None)
        assert code is not None
        return code

    def send_signal(self, signum: int) -> None:
        """Pass it on; a run that still waits for a machine never begins."""
        import ray

        if ray.wait([self._begun], timeout=0)[0]:
            self._actor.tell.remote(signum)
        else:
            ray.kill(self._actor)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def _look(self, timeout: float | None) -> int | None:
        import ray
        from ray.exceptions import RayError

        if self._code is None and ray.wait([self._ref], timeout=timeout)[0]:
            try:
                self._code = int(ray.get(self._ref))
            except RayError:
                self._code = LOST
            ray.kill(self._actor)  # it holds the cores as long as it lives
        return self._code


class _Keeper:
    """Lives on the run's machine, and with it."""

    def __init__(self, folder: str) -> None:
        os.chdir(folder)
        self._told: list[int] = []
        self._child: Popen[bytes] | None = None

    def begun(self) -> bool:
        """It has a machine."""
        return True

    def keep(self, words: list[str], log: str, threads: int) -> int:
        """Start the run and wait for its end."""
        if self._told:
            return -self._told[0]
        self._child = process.launch(words, Path(log), threads)
        for signum in self._told:  # came while it was started
            self._child.send_signal(signum)
        return self._child.wait()

    def tell(self, signum: int) -> None:
        """Pass a signal on."""
        self._told.append(signum)
        if self._child is not None:
            self._child.send_signal(signum)


def _sees(folder: str) -> bool:
    return Path(folder).is_dir()
