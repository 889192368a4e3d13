"""Reads the streams of a run folder: metrics.jsonl, eval.jsonl and samples.jsonl.

Every line holds one object. All readers of these files use this module; `run.runlog` writes them. A
killed run may have left an incomplete last line. A folder may also come from anybody; then any line
may hold anything.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mssr_rl import untrusted

STREAMS = ("metrics", "eval", "samples")
TAIL = 1 << 16  # bytes: longer than any line of metrics.jsonl


def stream_path(folder: Path, stream: str) -> Path:
    """Return the file of a stream, one of `STREAMS`."""
    return folder / f"{stream}.jsonl"


def whole_rows(folder: Path, stream: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a run of this program; an incomplete last line is skipped.

    Raises:
        Unusable: a line is not JSON, or too long.
        FileNotFoundError: the run has no such stream.
    """
    path = stream_path(folder, stream)
    for number, line in enumerate(untrusted.lines(path), 1):
        if line is None or line.endswith(b"\n"):
            yield untrusted.parsed(line or b"", f"{path} line {number}")


def any_rows(folder: Path, stream: str) -> Iterator[dict[str, Any] | None]:
    """Yield the rows of a folder that may come from anybody; None for a line without an object.

    Raises FileNotFoundError if the folder has no such stream.
    """
    return untrusted.rows(stream_path(folder, stream), within=folder)


def newest_row(folder: Path, stream: str) -> dict[str, Any]:
    """Return the last complete row, without reading the others; {} if there is none yet."""
    path = stream_path(folder, stream)
    if not path.exists():
        return {}
    lines = untrusted.tail(path, TAIL).split(b"\n")[:-1]
    row: dict[str, Any] = untrusted.parsed(lines[-1], str(path)) if lines else {}
    return row


def newest_first(folder: Path, stream: str) -> Iterator[dict[str, Any]]:
    """Yield the complete rows, from the last to the first; none if there is no such stream yet."""
    path = stream_path(folder, stream)
    if path.exists():
        for line in reversed(list(untrusted.lines(path))):
            if line is not None and line.endswith(b"\n"):
                yield untrusted.parsed(line, str(path))
