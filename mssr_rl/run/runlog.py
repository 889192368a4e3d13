"""The run directory: config.yaml, run.json, the three .jsonl streams, summary.json and events.

    runs/<name>/   never shared, never reused unless `resume=true`

A line is in its file as soon as it is written; `sizes` and `cut_back` let a checkpoint remember how
long the streams were, so that a resumed run continues exactly behind the restored step.
"""

import json
import os
import re
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mssr_rl import files, untrusted
from mssr_rl.config import recorded
from mssr_rl.errors import UserError
from mssr_rl.outward import redacted, redacted_tree
from mssr_rl.run import runlock
from mssr_rl.run.interrupt import Interrupted

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
STREAMS = ("metrics", "eval", "samples")
BEGINNINGS = ("config.yaml", *(f"{stream}.jsonl" for stream in STREAMS), "lock")


class RunLog:
    """Writes one run directory. Made by `create` or `reopen`, which hold its lock."""

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self.folder = folder
        self._fresh = fresh
        self.name = folder.name
        self._streams = {s: (folder / f"{s}.jsonl").open("ab", buffering=0) for s in STREAMS}
        self._events: SummaryWriter | None = None

    # ---- streams ----

    def write(self, stream: str, record: Mapping[str, Any]) -> None:
        """Append one object to `metrics`, `eval` or `samples`: the whole line, or nothing."""
        rest = memoryview((json.dumps(record, allow_nan=False) + "\n").encode())
        file = self._streams[stream]
        before = os.fstat(file.fileno()).st_size
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(before)
            raise

    def chart(self, step: int, values: Mapping[str, float]) -> None:
        """The same numbers as TensorBoard events."""
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import: once a run

            self._events = SummaryWriter(str(self.folder / "tensorboard"), purge_step=step)
        for name, value in values.items():
            self._events.add_scalar(name, value, step)

    def sizes(self) -> dict[str, int]:
        """Bytes in each stream, once they are safely on the disk."""
        for stream in STREAMS:
            files.sync(self.path(stream))
        return {stream: self.path(stream).stat().st_size for stream in STREAMS}

    def cut_back(self, sizes: Mapping[str, int]) -> None:
        """Forget what was written after `sizes` were taken."""
        for stream in STREAMS:
            if self.path(stream).stat().st_size < sizes[stream]:
                raise UserError(
                    f"{self.path(stream)} is shorter than its checkpoint says; it was edited. "
                    "Restore the file, or start a new run under another name="
                )
            self._streams[stream].truncate(sizes[stream])

    def read(self, stream: str) -> list[dict[str, Any]]:
        """Every object of a stream."""
        path = self.path(stream)
        lines = enumerate(untrusted.lines(path), 1)
        return [untrusted.parsed(line or b"", f"{path} line {number}") for number, line in lines]

    def steps(self) -> int:
        """How many are on record."""
        return sum(1 for _ in untrusted.lines(self.path("metrics")))

    def path(self, stream: str) -> Path:
        """The file of a stream."""
        return self.folder / f"{stream}.jsonl"

    # ---- documents ----

    def describe(self, **facts: Any) -> None:
        """Add facts to run.json, or replace them."""
        files.write_json(self.folder / "run.json", {**self.record(), **redacted_tree(facts)})

    def record(self) -> dict[str, Any]:
        """What run.json holds; nothing before it is there."""
        try:
            return recorded.document(self.folder / "run.json")
        except FileNotFoundError:
            return {}

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json."""
        files.write_json(self.folder / "summary.json", redacted_tree(summary))

    def end(self, status: str, reason: str) -> None:
        """Note how the run ended: done, interrupted, collapsed or failed."""
        self.describe(status=status, exit_reason=reason, ended=now())

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Note in run.json how the run ended if the block raises, the rest in traceback.txt."""
        try:
            yield
        except BaseException as error:
            with suppress(OSError):  # a full disk may be the very reason
                if isinstance(error, Interrupted):
                    self.end("interrupted", str(error))
                else:
                    story = redacted("".join(traceback.format_exception(error)))
                    (self.folder / "traceback.txt").write_text(story, "utf-8", "backslashreplace")
                    self.end("failed", f"{type(error).__name__}: {error}")
            raise

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Take a new directory back if the block raises before anything was described in it.

        The same name can then be used again, once whatever was wrong is put right.
        """
        try:
            yield
        except BaseException:
            if self._fresh and not (self.folder / "run.json").exists():
                with suppress(OSError):  # not empty: somebody has put something there
                    for name in BEGINNINGS:
                        (self.folder / name).unlink(missing_ok=True)
                    self.folder.rmdir()
            raise

    def close(self) -> None:
        """Close the files and give the directory back."""
        with suppress(OSError):  # what could not be written was reported when it was
            for stream in self._streams.values():
                stream.close()
            if self._events is not None:
                self._events.close()
        with suppress(OSError):  # a dead owner's lock is taken over
            runlock.release(self.folder)


def now() -> str:
    """UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def create(runs_dir: Path, name: str) -> RunLog:
    """A new, locked run directory; never one that holds a run."""
    folder = runs_dir / checked(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_a_run(folder)
        runlock.acquire(folder)
        with runlock.kept(folder):
            _refuse_a_run(folder)  # another process may have had the same idea in between
            return RunLog(folder, fresh=True)
    except OSError as error:
        raise UserError(
            f"the run directory {folder} cannot be written: {error.strerror or error}; "
            "choose another runs_dir="
        ) from error


def _refuse_a_run(folder: Path) -> None:
    """Only a new folder will do, or one whose run was killed before it had written its config."""
    beginnings = set(BEGINNINGS) - {"config.yaml"}
    there = (path.name for path in folder.iterdir() if not path.name.startswith(".config.yaml."))
    names = {name for name in there if not files.of_the_system(name)}
    if names - beginnings:
        raise UserError(
            f"{folder} exists already, and a run never writes over another: choose another name=, "
            f"or continue that run with resume=true name={folder.name}"
        )


def create_unnamed(runs_dir: Path, *parts: str) -> RunLog:
    """A new run directory called `<part>-<part>-...-<time>`."""
    name = "-".join((*parts, time.strftime("%Y%m%d-%H%M%S")))
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        if not (runs_dir / f"{name}{suffix}").exists():
            return create(runs_dir, f"{name}{suffix}")
    raise UserError(f"{runs_dir} holds a hundred runs called {name}; give this one a name=")


def checked(name: str) -> str:
    """`name`, if it can be a folder's."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"name={name} cannot be the name of a folder: use letters, digits, dots, dashes and "
            "underscores, at most 128, and begin with a letter or digit"
        )
    return name


def reopen(runs_dir: Path, name: str) -> RunLog:
    """The locked directory of a run that was started before."""
    folder = runs_dir / checked(name)
    if not any((folder / name).exists() for name in ("config.yaml", "run.json")):
        raise UserError(f"there is no run to resume in {folder}; start it without resume=true")
    try:
        runlock.acquire(folder)
        with runlock.kept(folder):
            files.sweep(folder)
            (folder / "traceback.txt").unlink(missing_ok=True)  # of an end that is overcome
            return RunLog(folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written, so its run cannot go on: {error.strerror or error}; "
            "resume=true works again once it can"
        ) from error
