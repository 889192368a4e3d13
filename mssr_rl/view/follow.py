"""Reads the streams of a run while they grow: every call reads only what is new.

A stream is a file of JSON lines. An incomplete last line is left for the next call. A resumed run
cuts its streams back; then the file is read from its start again. At most `PIECE` bytes are read in
one call, so that a page opens soon; of a very long file only the newest `LONGEST` bytes are read.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import untrusted
from mssr_rl.metric_names import is_budget
from mssr_rl.report.panels import value
from mssr_rl.report.runfiles import FITS, Row, is_step
from mssr_rl.run_streams import stream_path

PIECE = 64 * 2**20  # bytes
LONGEST = 512 * 2**20  # bytes
MARK = 64  # bytes before the position; if they changed, the file was written again
KEPT_ROWS = 500_000  # training steps in memory
KEPT_COLUMNS = 400  # metrics; training writes about 60


class Line(NamedTuple):
    """A complete line of a stream, and its place in the file."""

    raw: bytes
    offset: int


class Follower:
    """The position in one stream."""

    def __init__(self, folder: Path, stream: str) -> None:
        self._folder, self._path = folder, stream_path(folder, stream)
        self._start_over()

    def _start_over(self) -> None:
        self.offset, self._mark = 0, b""
        self.skipped, self.unread = 0, 0  # bytes before the first line that is read; after the last

    def news(self, forget: Callable[[], None]) -> Iterator[Line]:
        """Yield the complete lines since the last call.

        `forget` is called first if the file was written again, because then all lines are new.
        """
        with suppress(FileNotFoundError):
            with untrusted.opened(self._path, untrusted.STREAM_BYTES, self._folder) as file:
                size = file.seek(0, 2)
                if not self._continues(file, size):
                    self._start_over()
                    forget()
                yield from self._lines(file, size)
            return
        if self.offset:
            self._start_over()
            forget()

    def _continues(self, file: Any, size: int) -> bool:
        if size < self.offset:
            return False
        file.seek(self.offset - len(self._mark))
        return bool(file.read(len(self._mark)) == self._mark)

    def _lines(self, file: Any, size: int) -> Iterator[Line]:
        if not self.offset and size > LONGEST:
            self.skipped = file.seek(size - LONGEST)
            self.skipped += len(file.readline(untrusted.LINE_BYTES))
            self.offset = self.skipped
        file.seek(self.offset)
        raw = file.read(PIECE)
        end = raw.rfind(b"\n") + 1
        if not end and len(raw) == PIECE:
            end = len(raw)  # a line that is longer than any that training writes
        self._mark = (self._mark + raw[:end])[-MARK:]
        start, self.offset = self.offset, self.offset + end
        self.unread = max(0, size - self.offset)
        for line in raw[:end].splitlines(keepends=True) if end else ():
            if len(line) <= untrusted.LINE_BYTES:
                yield Line(line, start)
            start += len(line)


def row_of(line: Line, stream: str) -> Row | None:
    """Return the object of a line; None if it is not one that training writes."""
    try:
        row = untrusted.parsed(line.raw, "")
    except untrusted.Unusable:
        return None
    if not isinstance(row, dict) or not is_step(row.get("step")) or not FITS[stream](row):
        return None
    return row


class MetricColumns:
    """The numbers of metrics.jsonl, one column for each metric."""

    def __init__(self, folder: Path) -> None:
        self.follower = Follower(folder, "metrics")
        self._forget()

    def _forget(self) -> None:
        self.steps: array[float] = array("d")
        self.columns: dict[str, array[float]] = {}
        self.bad = 0

    def update(self) -> None:
        """Read the new rows. A step that was made again replaces its older rows."""
        for line in self.follower.news(self._forget):
            row = row_of(line, "metrics")
            if row is None or len(self.steps) >= KEPT_ROWS:
                self.bad += 1
            else:
                self._add(row)

    def _add(self, row: Row) -> None:
        step = float(row["step"])
        while self.steps and self.steps[-1] >= step:
            self.steps.pop()
            for column in self.columns.values():
                column.pop()
        new = sorted(row.keys() - self.columns.keys())
        for name in new[: max(0, KEPT_COLUMNS - len(self.columns))]:
            self.columns[name] = array("d", [float("nan")]) * len(self.steps)
        self.steps.append(step)
        for name, column in self.columns.items():
            column.append(value(row, name))

    def newest(self) -> dict[str, float]:
        """Return the newest row; {} before the first."""
        return {name: column[-1] for name, column in self.columns.items() if column}

    def bin(self, most: int) -> int:
        """Return the number of steps in a row of `binned`."""
        return max(1, -(-len(self.steps) // most))

    def binned(self, most: int) -> list[dict[str, float]]:
        """Return at most `most` rows: means of equally many steps, with the last step of each.

        The spending (budget/...) is that of the last step, too.
        """
        import numpy as np

        count = len(self.steps)
        size = self.bin(most)
        starts = np.arange(0, count, size)
        ends = np.minimum(starts + size, count)
        made: dict[str, list[float]] = {}
        for name, column in self.columns.items():
            values = np.frombuffer(column, dtype=np.float64)
            if name == "step" or is_budget(name) or size == 1:
                made[name] = values[ends - 1].tolist()
                continue
            known = np.isfinite(values)
            total = np.add.reduceat(np.where(known, values, 0.0), starts)
            number = np.add.reduceat(known.astype(float), starts)
            with np.errstate(invalid="ignore"):
                made[name] = np.where(number > 0, total / number, np.nan).tolist()
        rows = [dict(zip(made, each, strict=True)) for each in zip(*made.values(), strict=True)]
        return [{k: v for k, v in row.items() if v == v} for row in rows]  # noqa: PLR0124 - NaN


class Evaluations:
    """The rows of eval.jsonl.

    Results of single problems are kept only for the first and the last row of each set of problems,
    because only these are compared.
    """

    def __init__(self, folder: Path) -> None:
        self.follower = Follower(folder, "eval")
        self._forget()

    def _forget(self) -> None:
        self.rows: list[Row] = []
        self._last: dict[tuple[str, str], int] = {}
        self.bad = 0

    def update(self) -> None:
        """Read the new rows."""
        for line in self.follower.news(self._forget):
            row = row_of(line, "eval")
            if row is None:
                self.bad += 1
                continue
            key = (str(row.get("env", "")), str(row.get("split", "val")))
            before = self._last.get(key)
            if before is not None and self._first(key) != before:
                self.rows[before] = _without_problems(self.rows[before])
            self._last[key] = len(self.rows)
            self.rows.append(row)

    def _first(self, key: tuple[str, str]) -> int:
        sets = ((str(r.get("env", "")), str(r.get("split", "val"))) for r in self.rows)
        return next(i for i, one in enumerate(sets) if one == key)


def _without_problems(row: Row) -> Row:
    return {name: part for name, part in row.items() if not name.startswith("per_problem")}


class SampleEntry(NamedTuple):
    """What is known of a recorded rollout without reading it again."""

    offset: int
    length: int
    step: int
    split: str
    family: str
    reason: str
    flipped: bool | None  # whether a bonus made a negative advantage positive; None: not recorded


class SampleIndex:
    """The places of the rows of samples.jsonl in the file, with what they can be filtered by."""

    MOST = 400_000

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.follower = Follower(folder, "samples")
        self._forget()

    def _forget(self) -> None:
        self.entries: list[SampleEntry] = []
        self.bad = 0

    def update(self) -> None:
        """Index the new rows."""
        for line in self.follower.news(self._forget):
            row = row_of(line, "samples")
            if row is None or len(self.entries) >= self.MOST:
                self.bad += 1
            else:
                self.entries.append(_entry(row, line))

    def found(self, entries: Sequence[SampleEntry]) -> Iterator[tuple[SampleEntry, Row]]:
        """Yield these entries with their rows; rows that are gone by now are left out."""
        path = stream_path(self._folder, "samples")
        with (
            suppress(FileNotFoundError),
            untrusted.opened(path, untrusted.STREAM_BYTES, self._folder) as file,
        ):
            for entry in entries:
                file.seek(entry.offset)
                row = row_of(Line(file.read(entry.length), entry.offset), "samples")
                if row is not None:
                    yield entry, row


def _entry(row: Row, line: Line) -> SampleEntry:
    tags = row.get("tags")
    family = tags.get("family", "") if isinstance(tags, Mapping) else ""
    flipped = row.get("flipped")
    return SampleEntry(
        line.offset,
        len(line.raw),
        int(row["step"]),
        str(row.get("split", "train"))[:40],
        str(family)[:80],
        str(row.get("reason", ""))[:40],
        flipped if isinstance(flipped, bool) else None,
    )


class FollowedRun:
    """All three streams of one run, read as far as they have been written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.metrics = MetricColumns(folder)
        self.evaluations = Evaluations(folder)
        self.samples = SampleIndex(folder)

    def update(self, *, samples: bool = True) -> None:
        """Read what is new."""
        self.metrics.update()
        self.evaluations.update()
        if samples:
            self.samples.update()

    def complaints(self) -> list[str]:
        """Return a sentence for each stream that was not read as a whole."""
        streams: dict[str, MetricColumns | Evaluations | SampleIndex]
        streams = {"metrics": self.metrics, "eval": self.evaluations, "samples": self.samples}
        told = []
        for name, stream in streams.items():
            follower = stream.follower
            if stream.bad:
                told.append(f"{stream.bad:,} lines of {name}.jsonl could not be read")
            if follower.skipped:
                told.append(f"the first {follower.skipped:,} bytes of {name}.jsonl are left out")
            if follower.unread > untrusted.LINE_BYTES:
                told.append(f"{follower.unread:,} bytes of {name}.jsonl are still to be read")
        return told


class RunCache:
    """The runs that were read last, so that a page reads only what is new."""

    SIZE = 24

    def __init__(self) -> None:
        self._runs: dict[Path, FollowedRun] = {}

    def get(self, folder: Path, *, samples: bool = True) -> FollowedRun:
        """Return the streams of a run, read to their present end."""
        run = self._runs.pop(folder, None) or FollowedRun(folder)
        self._runs[folder] = run
        while len(self._runs) > self.SIZE:
            del self._runs[next(iter(self._runs))]
        run.update(samples=samples)
        return run
