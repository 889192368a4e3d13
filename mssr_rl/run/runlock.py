"""One owner per run directory: a lock file with process id and start time.

A dead owner's lock is taken over; the start time tells a new process with a recycled id from the
old one.
"""

import fcntl
import json
import os
from pathlib import Path
from typing import IO

import psutil

from mssr_rl.errors import UserError

CLOCK_SLACK = 2.0  # [s] start times are derived from the boot time, which may be adjusted


def acquire(folder: Path) -> None:
    """Own `folder`, or say which live process does."""
    with (folder / "lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # makes look-and-take one act; held for microseconds
        owner = _live_owner(file)
        if owner is not None:
            raise UserError(
                f"{folder} is in use by process {owner}; wait for it, or choose another name="
            )
        _write(file, {"pid": os.getpid(), "started": psutil.Process().create_time()})


def release(folder: Path) -> None:
    """Give the directory back."""
    with (folder / "lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        _write(file, {})


def owner(folder: Path) -> int | None:
    """The live process that owns `folder`, None if there is none."""
    try:
        with (folder / "lock").open() as file:
            return _live_owner(file)
    except OSError:
        return None


def _live_owner(file: IO[str]) -> int | None:
    file.seek(0)
    try:
        held = json.loads(file.read() or "{}")
        pid, started = int(held["pid"]), float(held["started"])
        alive = abs(psutil.Process(pid).create_time() - started) < CLOCK_SLACK
    except (ValueError, KeyError, psutil.NoSuchProcess):
        return None  # never taken, given back, cut short by a kill, or its owner is dead
    return pid if alive else None


def _write(file: IO[str], content: dict[str, object]) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(content))
