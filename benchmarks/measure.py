"""Measure the cost of a batch: wall time, processor time, memory, and the load of other processes.

On a busy machine, the wall time of two threads misleads, because each waits for the other. The
processor time of one thread hardly changes. So both are measured. A batch is not counted if other
processes used more than `BUSY` cores during it, as long as enough quiet batches remain.
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import psutil

from mssr_rl.run import provenance

BUSY = 0.25  # cores used by other processes, mean over a batch


class Cost(NamedTuple):
    """The cost of one batch: its times, and the load of other processes."""

    seconds: float  # wall
    cpu_seconds: float  # of this process and those it started
    others: float  # cores used by all other processes, mean


class Stopwatch:
    """A clock that measures the cost from the moment when it is created."""

    def __init__(self) -> None:
        # Takes milliseconds, so it comes first.
        self._children, self._all = _children(), _everybody()
        self._own, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> Cost:
        """Return the cost since the stopwatch was created."""
        wall, own = time.perf_counter() - self._wall, time.process_time() - self._own
        everybody = _everybody() - self._all
        spent = own + _children() - self._children
        return Cost(wall, spent, max(0.0, (everybody - spent) / wall))


class Typical(NamedTuple):
    """The median costs over batches."""

    seconds: float
    cpu_seconds: float
    batches: int  # how many were counted
    quiet: bool  # whether no other process disturbed them


def typical(costs: Sequence[Cost]) -> Typical:
    """Return the medians over the quiet batches; if fewer than half are quiet, over all batches."""
    calm = [cost for cost in costs if cost.others <= BUSY]
    quiet = 2 * len(calm) >= len(costs)
    chosen = calm if quiet else list(costs)
    return Typical(
        median(cost.seconds for cost in chosen),
        median(cost.cpu_seconds for cost in chosen),
        len(chosen),
        quiet,
    )


def peak_rss_mib() -> float:
    """Return the peak memory of this process and of those it started, summed, in MiB.

    Pages that several of these processes share are counted once for each process.
    """
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(_high_water(process.pid) for process in processes) / 1024


def machine() -> Mapping[str, Any]:
    """Return a description of the machine, its load and the versions of the software."""
    return {
        **provenance.machine(),
        "model": _processor(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "versions": provenance.versions(),
        "git": provenance.git_revision(),
    }


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _children() -> float:
    """Return the processor seconds of all processes that this one started, including ended ones."""
    gone, alive = os.times(), 0.0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has ended since it was listed
            alive += sum(child.cpu_times()[:4])
    return gone.children_user + gone.children_system + alive


def _everybody() -> float:
    """Return the processor seconds of the whole machine."""
    spent = psutil.cpu_times()
    return float(spent.user + spent.nice + spent.system)


def _high_water(pid: int) -> int:
    """Return the peak memory of a process in KiB; 0 if it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    return next(
        (x.partition(":")[2].strip() for x in lines if x.startswith("model name")), "unknown"
    )
