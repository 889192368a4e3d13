"""One owner per run directory: a file lock, held for as long as the owner lives.

The kernel gives a lock back with its process, however that ends, and shows it to every process of
the machine: containers that do not see each other's processes, and a parent that has not noticed
its child's death, change nothing. The file says who holds it, for people.

Where the file system has no locks, the owner is told by what the file says: process id, start time,
host. That a process of another host or container lives, only its run's heartbeat can show: such a
claim is taken over once that is ten minutes old. Without a heartbeat, somebody has to look. The
same counts for another host's lock, which not every network file system shows.
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
CLOCK_SLACK = 2.0  # [s] start times are derived from the boot time, which may be adjusted
SILENCE = 600.0  # [s] without a heartbeat after which an owner out of sight is taken for dead
TRIES, NAP = 10, 0.05  # somebody who looks at a lock holds it for microseconds  [s]


class Owner(NamedTuple):
    """Who holds a directory."""

    pid: int
    host: str | None  # None: this one


_held: dict[Path, int] = {}  # folder → descriptor; closing it gives the lock back


def acquire(folder: Path) -> None:
    """Own `folder` until `release` or the end of this process, or say which live process does."""
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)  # not for programs we start
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
    """Give the directory back."""
    handle = _held.pop(folder.resolve(), None)
    if handle is not None:
        with suppress(OSError):
            _write(handle, {})
        os.close(handle)


@contextmanager
def kept(folder: Path) -> Iterator[None]:
    """Give the directory back if the block raises."""
    try:
        yield
    except BaseException:
        release(folder)
        raise


def owner(folder: Path) -> int | None:
    """The process id of the live owner of `folder`, None if there is none. Takes nothing."""
    try:
        with untrusted.opened(folder / "lock", LOCK_BYTES) as file:
            found = _seen(file.fileno(), folder)
    except (FileNotFoundError, untrusted.Unusable):
        return None
    return found.pid if found else None


def _seen(handle: int, folder: Path) -> Owner | None:
    try:
        # Shared, so that two who look do not see each other; `acquire` tries again meanwhile.
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named(_read(handle))
    except OSError:
        pass  # no locks here
    return _claimed(_read(handle), folder)


def _lock(handle: int, folder: Path) -> bool:
    """Lock the file; False where the file system cannot. `UserError` if somebody else has."""
    for _ in range(TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(NAP)
        except OSError as error:
            sys.stderr.write(
                f"{folder}: its file system has no locks ({error.strerror}); that nobody else "
                "writes there is told by process id and heartbeat instead\n"
            )
            return False
    raise UserError(_in_use(folder, _named(_read(handle))))


def _is_there(handle: int, folder: Path) -> bool:
    """Whether the locked file still has its name: a start that failed deletes its own."""
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
    """What tells this process from all others, as far as one can know."""
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "boot": _text(Path("/proc/sys/kernel/random/boot_id")),  # the same in all containers
        "pids": _link(
            Path("/proc/self/ns/pid")
        ),  # the world in which the process id means something
    }


def _named(record: dict[str, Any]) -> Owner:
    """The owner by its own words, which may be old or cut short."""
    pid, host = record.get("pid"), record.get("host")
    elsewhere = isinstance(host, str) and host != socket.gethostname()
    return Owner(pid if isinstance(pid, int) else 0, str(host) if elsewhere else None)


def _claimed(record: dict[str, Any], folder: Path) -> Owner | None:
    """The owner that the file names, if it may live; nobody holds a lock that can be seen here."""
    here = _here()
    try:
        pid, started = int(record["pid"]), float(record["started"])
    except (ValueError, TypeError, KeyError, OverflowError):
        return None  # never taken, given back, cut short by a kill, or no lock of ours
    known = {key: record.get(key, here[key]) for key in ("host", "boot", "pids")}  # older: no more
    if known["boot"] == here["boot"] and record.get("locked") is True:
        return None  # its lock would be seen here
    if known["host"] == here["host"] and known["boot"] != here["boot"] and _is_older(folder):
        return None  # this machine has been started anew since
    if known != {key: here[key] for key in known}:
        return _named({"pid": pid, "host": known["host"]}) if _heard_of(folder) else None
    return Owner(pid, None) if _lives(pid, started) else None


def _lives(pid: int, started: float) -> bool:
    """Whether it is that process; one that only its parent has not noticed yet is dead."""
    try:
        process = psutil.Process(pid)
        dead = process.status() == psutil.STATUS_ZOMBIE
        return not dead and bool(abs(process.create_time() - started) < CLOCK_SLACK)
    except (psutil.Error, ValueError, OverflowError):
        return False


def _heard_of(folder: Path) -> bool:
    """Whether the heartbeat is young; without one nobody can tell, and the lock is respected."""
    beat = _written(folder / "heartbeat.json")
    return beat is None or time.time() - beat < SILENCE


def _is_older(folder: Path) -> bool:
    """Whether the last sign of life is older than this machine's start."""
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
        found = untrusted.parsed(os.pread(handle, LOCK_BYTES, 0), "the lock")
    except untrusted.Unusable:
        return {}
    return found if isinstance(found, dict) else {}


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
    """A forked process shares the lock: unless it lets go, a run's folder stays taken with it."""
    for handle in _held.values():
        os.close(handle)
    _held.clear()


os.register_at_fork(after_in_child=_forget)
