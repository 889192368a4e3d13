"""Find and remove the blocks of shared memory that a killed vLLM engine leaves.

vLLM 0.29 sends messages through blocks in /dev/shm named psm_*, of some hundred megabytes each. A
killed process does not remove its blocks, and a run ends its vLLM engines by killing them.
"""

from collections.abc import Iterable
from pathlib import Path

import psutil

FOLDER = Path("/dev/shm")  # noqa: S108  the place of shared memory on Linux
PREFIX = f"{FOLDER}/psm_"


def held() -> set[str]:
    """Return the paths of the blocks that this process and its child processes use."""
    me = psutil.Process()
    return {path for one in (me, *me.children(recursive=True)) for path in _mapped(one.pid)}


def _mapped(pid: int) -> Iterable[str]:
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:  # the process has just ended
        return
    for line in lines:
        *_, path = line.split(maxsplit=5)
        if path.startswith(PREFIX) and not path.endswith("(deleted)"):
            yield path


def remove(blocks: Iterable[str]) -> None:
    """Remove blocks of ended processes. A block that no longer exists is not an error."""
    for block in blocks:
        if block.startswith(PREFIX) and "/" not in block.removeprefix(PREFIX):
            Path(block).unlink(missing_ok=True)
