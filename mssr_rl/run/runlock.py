"""Locks a run directory, so that only one process writes to it.

It uses a file lock (flock). The kernel releases it when the process ends for any reason. All
processes of the machine see it, even in different containers. The content of the file names the
owner, for people.

On a file system without locks, the content of the file decides: process id, start time and host.
Whether a process on another host or in another container is alive, only its heartbeat shows. Its
lock is taken over when the heartbeat is ten minutes old. Without a heartbeat the user must check
and delete the lock. The same applies to the lock of another host, because not every network file
system shows it.
"""

import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from mssr_rl import untrusted
from mssr_rl.errors import UserError

LOCK_BYTES = 10_000
CLOCK_SLACK = 2.0  # [s] start times depend on the boot time, which may be corrected
SILENCE = 600.0  # [s] after so long without a heartbeat, an owner on another host counts as dead
TRIES, NAP = 10, 0.05  # [s] a process that only looks at a lock holds it for microseconds


class Owner(NamedTuple):
    """The owner of a directory."""

    pid: int
    host: str | None  # None: this host


_held: dict[Path, int] = {}  # folder → descriptor; closing it releases the lock


def acquire(folder: Path) -> None:
    """Lock `folder` until `release` or the end of this process.

    Raises `UserError`, which names the owner, if another live process holds it.
    """
    # Programs that we start do not inherit this descriptor (os.open makes it non-inheritable).
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        locked = _lock(handle, folder)
        if not _is_there(handle, folder):
            raise FileNotFoundError(2, "its lock was deleted meanwhile", str(folder))
        owner = _claimed(_read(handle), folder)
        if owner is not None:
            raise UserError(_in_use(folder, owner))
        _write(handle, {**_here(), "started": psutil.Process().create_time(), "locked": locked})
    except BaseException:
        os.close(handle)
        raise
    _held[folder.resolve()] = handle


def release(folder: Path) -> None:
    """Release the lock of the directory."""
    handle = _held.pop(folder.resolve(), None)
    if handle is not None:
        with suppress(OSError):
            _write(handle, {})
        os.close(handle)


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Release the lock of the directory if the block raises."""
    try:
        yield
    except BaseException:
        release(folder)
        raise


def owner(folder: Path) -> int | None:
    """Return the process id of the live owner of `folder`, or None. It does not take the lock."""
    try:
        with untrusted.opened(folder / "lock", LOCK_BYTES) as file:
            holder = _seen(file.fileno(), folder)
    except (FileNotFoundError, untrusted.Unusable):
        return None
    return holder.pid if holder else None


def _seen(handle: int, folder: Path) -> Owner | None:
    try:
        # The lock is shared, so that two processes that look do not block each other. `acquire`
        # tries again if it meets one of them.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named(_read(handle))
    except OSError:
        pass  # the file system has no locks
    return _claimed(_read(handle), folder)


def _lock(handle: int, folder: Path) -> bool:
    """Lock the file; return False if the file system has no locks.

    Raises `UserError` if another process holds the lock.
    """
    for _ in range(TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(NAP)
        except OSError as error:
            sys.stderr.write(
                f"{folder}: its file system has no locks ({error.strerror}); process id and "
                "heartbeat show instead that no other process writes there\n"
            )
            return False
    raise UserError(_in_use(folder, _named(_read(handle))))


def _is_there(handle: int, folder: Path) -> bool:
    """Return whether the locked file still exists under its name.

    A start that failed deletes its lock file.
    """
    try:
        return os.path.samestat(os.fstat(handle), (folder / "lock").stat())
    except FileNotFoundError:
        return False


def _in_use(folder: Path, owner: Owner) -> str:
    who = f"process {owner.pid}" if owner.pid else "another process"
    if owner.host is None:
        return f"{folder} is in use by {who}; wait for it, or choose another name="
    return (
        f"{folder} is in use by {who} on {owner.host}; wait for it, or choose "
        f"another name=. If that process is gone, delete {folder / 'lock'}"
    )


def _here() -> dict[str, Any]:
    """Return the data that identify this process: pid, host, boot and pid namespace."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot": _text(Path("/proc/sys/kernel/random/boot_id")),  # the same in all containers
        "pids": _link(Path("/proc/self/ns/pid")),  # the pid namespace, one per container
    }


def _named(record: dict[str, Any]) -> Owner:
    """Return the owner that the lock file names; its content may be old or incomplete."""
    pid, host = record.get("pid"), record.get("host")
    elsewhere = isinstance(host, str) and host != socket.gethostname()
    return Owner(pid if isinstance(pid, int) else 0, str(host) if elsewhere else None)


def _claimed(record: dict[str, Any], folder: Path) -> Owner | None:
    """Return the owner that the lock file names; None if that process counts as dead.

    Call it only if no lock of another process is visible here.
    """
    here = _here()
    try:
        pid, started = int(record["pid"]), float(record["started"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return None  # never taken, released, cut off by a kill, or not written by this program
    # Lock files of older versions lack some keys; then the values of this process are assumed.
    known = {key: record.get(key, here[key]) for key in ("host", "boot", "pids")}
    if known["boot"] == here["boot"] and record.get("locked") is True:
        return None  # its lock would be visible here
    if known["host"] == here["host"] and known["boot"] != here["boot"] and _is_older(folder):
        return None  # this machine was restarted since
    if known != {key: here[key] for key in known}:
        return _named({"pid": pid, "host": known["host"]}) if _heard_of(folder) else None
    return Owner(pid, None) if _lives(pid, started) else None


def _lives(pid: int, started: float) -> bool:
    """Return whether this process is alive; a zombie process counts as dead."""
    try:
        process = psutil.Process(pid)
        dead = process.status() == psutil.STATUS_ZOMBIE
        return not dead and bool(abs(process.create_time() - started) < CLOCK_SLACK)
    except (psutil.Error, ValueError, OverflowError):
        return False


def _heard_of(folder: Path) -> bool:
    """Return True if the heartbeat is recent, or if there is no heartbeat.

    Without a heartbeat the lock is respected.
    """
    beat = _written(folder / "heartbeat.json")
    return beat is None or time.time() - beat < SILENCE


def _is_older(folder: Path) -> bool:
    """Return whether the last heartbeat is older than the start of this machine.

    Without a heartbeat, the time of the lock file counts.
    """
    begun = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    sign = _written(folder / "heartbeat.json") or _written(folder / "lock")
    return sign is not None and sign < begun


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def _read(handle: int) -> dict[str, Any]:
    try:
        content = untrusted.parsed(os.pread(handle, LOCK_BYTES, 0), "the lock")
    except untrusted.Unusable:
        return {}
    return content if isinstance(content, dict) else {}


def _write(handle: int, content: dict[str, Any]) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps(content).encode(), 0)


def _text(path: Path) -> str | None:
    try:
        return path.read_text("ascii").strip()
    except OSError:
        return None


def _link(path: Path) -> str | None:
    try:
        return str(path.readlink())
    except OSError:
        return None


def _forget() -> None:
    """Release the locks in a forked child process.

    The child shares the locks of its parent, and would keep the directory locked.
    """
    for handle in _held.values():
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
