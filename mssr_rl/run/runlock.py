"""One owner per run directory: a lock file with process id, start time and host.

A dead owner's lock is taken over; the start time tells a new process with a recycled id from the
old one. Of a process on another host only its run's heartbeat can be seen: such a lock is taken
over once that is ten minutes old. Where there is no heartbeat, somebody has to look.
"""

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import IO, NamedTuple

import psutil

from mssr_rl import untrusted
from mssr_rl.errors import UserError

LOCK_BYTES = 10_000
CLOCK_SLACK = 2.0  # [s] start times are derived from the boot time, which may be adjusted
SILENCE = 600.0  # [s] without a heartbeat after which an owner on another host is taken for dead


class Owner(NamedTuple):
    """Who holds a directory."""

    pid: int
    host: str | None  # None: this one


def acquire(folder: Path) -> None:
    """Own `folder`, or say which live process does."""
    with (folder / "lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # makes look-and-take one act; held for microseconds
        file.seek(0)
        owner = _live_owner(file.read(LOCK_BYTES), folder)
        if owner is not None:
            raise UserError(_in_use(folder, owner))
        started = psutil.Process().create_time()
        _write(file, {"pid": os.getpid(), "started": started, "host": socket.gethostname()})


def release(folder: Path) -> None:
    """Give the directory back."""
    with (folder / "lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _write(file, {})


def owner(folder: Path) -> int | None:
    """The live process that owns `folder`, None if there is none."""
    try:
        found = _live_owner(untrusted.text(folder / "lock", LOCK_BYTES), folder)
    except (FileNotFoundError, untrusted.Unusable):
        return None
    return found.pid if found else None


def _in_use(folder: Path, owner: Owner) -> str:
    if owner.host is None:
        return f"{folder} is in use by process {owner.pid}; wait for it, or choose another name="
    return (
        f"{folder} is in use by process {owner.pid} on {owner.host}; wait for it, or choose "
        f"another name=. If that process is gone, delete {folder / 'lock'}"
    )


def _live_owner(text: str, folder: Path) -> Owner | None:
    try:
        held = json.loads(text or "{}")
        pid, started = int(held["pid"]), float(held["started"])
        host = held.get("host", socket.gethostname())  # older locks name none
        if host != socket.gethostname():
            return Owner(pid, str(host)) if _heard_of(folder) else None
        alive = abs(psutil.Process(pid).create_time() - started) < CLOCK_SLACK
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return None  # never taken, given back, cut short by a kill, or no lock of ours
    except psutil.NoSuchProcess:
        return None
    return Owner(pid, None) if alive else None


def _heard_of(folder: Path) -> bool:
    """Whether the heartbeat is young; without one nobody can tell, and the lock is respected."""
    try:
        return time.time() - (folder / "heartbeat.json").stat().st_mtime < SILENCE
    except FileNotFoundError:
        return True


def _write(file: IO[str], content: dict[str, object]) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(content))
