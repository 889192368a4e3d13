"""Find the last error of a dead process in Ray's logs, and the path of its log.

For every worker, Ray writes one file with its standard error and one with its standard output. The
file names contain the process id. vLLM's engine core is a child process of a worker and writes to
the same files.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from ray._private import worker

MOST = 2**20  # bytes of a log that are read, from its end
LONGEST = 300  # characters of an error in a sentence

_ERROR = re.compile(r"\b(?:[A-Za-z_][\w.]*(?:Error|Exception)\b: \S.*|Fatal Python error: .*)")
_PID = re.compile(r"\bpid[:=] ?(\d+)")
# These errors say that another process died, but not why.
_SECOND_HAND = (
    *("EngineDeadError", "ActorDiedError", "RayActorError", "RayTaskError"),
    *("ActorUnavailableError", "Engine core initialization failed", "EngineCore encountered"),
)


def last_error(text: str) -> str | None:
    """Return the last error message in a log's text; None if there is none.

    Errors that only report the death of another process are ignored.
    """
    errors = [line for line in _ERROR.findall(text) if not any(s in line for s in _SECOND_HAND)]
    return errors[-1][:LONGEST].rstrip() if errors else None


def cause(error: BaseException | None) -> str:
    """Return the error of a dead process and the place of its log, as the end of a sentence.

    Args:
        error: the error that Ray raised for the process; None if Ray raised none.
    """
    message = str(error) if error is not None else ""
    logs = _logs_of(message)
    texts = [_end_of(log) for log in logs]
    with_error = next(
        (log for log, text in zip(logs, texts, strict=True) if last_error(text)), None
    )
    reason = last_error(message) or next(filter(None, map(last_error, texts)), None)
    place = with_error or (logs[0] if logs else folder())
    where = f"its log is {place}" if logs else f"logs of its machine are in {place}"
    return f": {reason} ({where})" if reason else f" without giving a reason ({where})"


def folder() -> Path:
    """Return the folder of Ray's logs on this machine; each machine of a cluster has its own."""
    node = worker._global_node  # noqa: SLF001  Ray has no public name for it
    return Path(node.get_logs_dir_path() if node else "/tmp/ray/session_latest/logs")  # noqa: S108


def _logs_of(message: str) -> Sequence[Path]:
    """Return the logs of the process whose id is in Ray's message, standard error first.

    Only logs on this machine are found.
    """
    match = _PID.search(message)
    if match is None:
        return ()
    logs = [*folder().glob(f"worker-*-{match[1]}.err"), *folder().glob(f"worker-*-{match[1]}.out")]
    return sorted(logs, key=lambda log: log.suffix)


def _end_of(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - MOST))
        return file.read().decode("utf-8", "replace")
