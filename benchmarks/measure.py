"""What a batch costs: wall time, processor time, memory; and whether others were at work meanwhile.

Wall time of two threads misleads on a busy machine, where each waits for the other; processor time
of one thread hardly notices. So both are taken, and a batch during which other processes kept more
than `BUSY` cores at work does not count while there are enough that do.
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

BUSY = 0.25  # cores kept at work by others, mean over a batch


class Cost(NamedTuple):
    """Of one batch."""

    seconds: float  # wall
    cpu_seconds: float  # of this process and those it started
    others: float  # cores that everybody else kept at work, mean


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._children, self._all = _children(), _everybody()  # looking takes milliseconds: before
        self._own, self._wall = time.process_time(), time.perf_counter()

    def read(self) -> Cost:
        """What was spent since."""
        wall, own = time.perf_counter() - self._wall, time.process_time() - self._own
        everybody = _everybody() - self._all
        spent = own + _children() - self._children
        return Cost(wall, spent, max(0.0, (everybody - spent) / wall))


class Typical(NamedTuple):
    """Medians over batches."""

    seconds: float
    cpu_seconds: float
    batches: int  # that count
    quiet: bool  # whether those are batches that nobody disturbed


def typical(costs: Sequence[Cost]) -> Typical:
    """Medians over the quiet batches, or over all where fewer than half of them are quiet."""
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
    """The most this process and those it started have held, summed [MiB].

    Pages that several of them share count in each.
    """
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    return sum(_high_water(process.pid) for process in processes) / 1024


def machine() -> Mapping[str, Any]:
    """What a figure was measured on."""
    return {
        **provenance.machine(),
        "model": _processor(),
        "load": [round(load, 2) for load in os.getloadavg()],
        "versions": provenance.versions(),
        "git": provenance.git_revision(),
    }


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def _children() -> float:
    """Processor seconds of the processes that this one started, dead ones included."""
    gone, alive = os.times(), 0.0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it ended since it was listed
            alive += sum(child.cpu_times()[:4])
    return gone.children_user + gone.children_system + alive


def _everybody() -> float:
    """Processor seconds of the whole machine."""
    spent = psutil.cpu_times()
    return float(spent.user + spent.nice + spent.system)


def _high_water(pid: int) -> int:
    """KiB; 0 of a process that has just ended."""
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
