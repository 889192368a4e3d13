"""Reads a few rows of each run's streams, for the list of runs: its newest numbers and a sparkline.

A run of 10,000 steps writes 15 MB of metrics. So the sparkline is made from short pieces of the
file, at equal distances. The result is kept until the files change.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from mssr_rl import untrusted
from mssr_rl.metric_names import BUDGET_ROLLOUTS, REWARD_MEAN
from mssr_rl.report.runfiles import Share
from mssr_rl.run_streams import stream_path

PIECES, PIECE = 32, 1 << 13  # pieces of metrics.jsonl, and their size in bytes
TAIL = 1 << 19  # bytes at the end of eval.jsonl; a row holds the result of every problem
MOST_KEPT = 5_000

Finite = Annotated[float, msgspec.Meta(ge=-untrusted.LARGEST, le=untrusted.LARGEST)]


class _Step(msgspec.Struct):
    step: Finite
    reward: Finite | None = msgspec.field(default=None, name=REWARD_MEAN)
    rollouts: Finite | None = msgspec.field(default=None, name=BUDGET_ROLLOUTS)


class _Evaluated(msgspec.Struct):
    step: Finite
    split: str = "val"
    accuracy: Share | None = None
    accuracy_sampled: Share | None = None


class Glance(NamedTuple):
    """What the list shows of a run's streams."""

    step: int = 0  # the newest
    rollouts: int = 0  # spent up to it
    rewards: tuple[float, ...] = ()  # mean rewards of a few steps at equal distances
    accuracy: float | None = None  # greedy, of the newest evaluation on val
    accuracy_sampled: float | None = None


class Glances:
    """The glances of all runs, read again only when a stream has changed."""

    def __init__(self) -> None:
        self._kept: dict[Path, tuple[object, Glance]] = {}

    def at(self, folder: Path) -> Glance:
        """Return what the list shows of the run in `folder`."""
        state = [_state(stream_path(folder, stream)) for stream in ("metrics", "eval")]
        known = self._kept.get(folder)
        if known is not None and known[0] == state:
            return known[1]
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        glance = Glance(*_newest(folder), tuple(_rewards(folder)), *_accuracies(folder))
        self._kept[folder] = (state, glance)
        return glance


def _state(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _newest(folder: Path) -> tuple[int, int]:
    """Return the newest step, and the rollouts that were spent up to it."""
    with suppress(FileNotFoundError, untrusted.Unusable):
        path = stream_path(folder, "metrics")
        with untrusted.opened(path, untrusted.STREAM_BYTES, folder) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8 * PIECE))
            rows = list(_whole_lines(file.read(8 * PIECE), at_start=True))
        if rows:
            return int(rows[-1].step), int(rows[-1].rollouts or 0)
    return 0, 0


def _rewards(folder: Path) -> Iterator[float]:
    with suppress(FileNotFoundError, untrusted.Unusable):
        path = stream_path(folder, "metrics")
        with untrusted.opened(path, untrusted.STREAM_BYTES, folder) as file:
            size = os.fstat(file.fileno()).st_size
            gap = max(PIECE, size // PIECES)
            for start in range(0, size, gap):
                file.seek(start)
                rows = _whole_lines(file.read(min(gap, PIECE)), at_start=start == 0)
                known = [row.reward for row in rows if row.reward is not None]
                if gap > PIECE and known:
                    yield sum(known) / len(known)
                else:
                    yield from known


def _whole_lines(raw: bytes, *, at_start: bool) -> Iterator[_Step]:
    """Yield the rows of the complete lines in a piece of a file."""
    for line in raw.split(b"\n")[0 if at_start else 1 : -1]:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            yield _STEP.decode(line)


def _accuracies(folder: Path) -> tuple[float | None, float | None]:
    with suppress(FileNotFoundError, untrusted.Unusable):
        path = stream_path(folder, "eval")
        with untrusted.opened(path, untrusted.STREAM_BYTES, folder) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - TAIL))
            lines = file.read(TAIL).split(b"\n")[:-1]
        for line in reversed(lines):
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                row = _EVALUATED.decode(line)
                if row.split == "val":
                    return row.accuracy, row.accuracy_sampled
    return None, None


_STEP, _EVALUATED = msgspec.json.Decoder(_Step), msgspec.json.Decoder(_Evaluated)
