"""The run directory: config.yaml, run.json, the three .jsonl streams and summary.json.

    runs/<name>/   never shared, never reused unless `resume=true`

Lines are written without buffering. A checkpoint keeps the sizes of the streams (`sizes`), and a
resumed run cuts them back (`cut_back`), so that it continues exactly after the restored step.
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
from typing import Any

from mssr_rl import files, untrusted
from mssr_rl.config import recorded
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.outward import redacted, redacted_tree
from mssr_rl.run import runlock
from mssr_rl.run.interrupt import Interrupted
from mssr_rl.run_streams import STREAMS, stream_path, whole_rows

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
BEGINNINGS = ("config.yaml", *(f"{stream}.jsonl" for stream in STREAMS), "lock")


class RunLog:
    """Writes one run directory. Use `create` or `reopen`, which lock it."""

    def __init__(self, folder: Path, *, fresh: bool = False) -> None:
        self.folder = folder
        self._fresh = fresh
        self.name = folder.name
        self._streams = {s: stream_path(folder, s).open("ab", buffering=0) for s in STREAMS}

    # ---- streams ----

    def write(self, stream: str, record: Mapping[str, Any]) -> None:
        """Append one object to `metrics`, `eval` or `samples`; an error leaves no partial line."""
        rest = memoryview((json.dumps(record, allow_nan=False) + "\n").encode())
        file = self._streams[stream]
        before = os.fstat(file.fileno()).st_size
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(before)
            raise

    def sizes(self) -> dict[str, int]:
        """Wait until the streams are on the disk, and return their sizes [bytes]."""
        for stream in STREAMS:
            files.sync(self.path(stream))
        return {stream: self.path(stream).stat().st_size for stream in STREAMS}

    def cut_back(self, sizes: Mapping[str, int]) -> None:
        """Cut the streams back to `sizes` [bytes]; raise `UserError` if a stream is shorter."""
        for stream in STREAMS:
            if self.path(stream).stat().st_size < sizes[stream]:
                raise UserError(
                    f"{self.path(stream)} is shorter than its checkpoint says; it was edited. "
                    "Restore the file, or start a new run under another name="
                )
            self._streams[stream].truncate(sizes[stream])

    def read(self, stream: str) -> list[dict[str, Any]]:
        """Return all objects of a stream."""
        return list(whole_rows(self.folder, stream))

    def steps(self) -> int:
        """Return the number of steps that metrics.jsonl holds."""
        return sum(1 for _ in untrusted.lines(self.path("metrics")))

    def path(self, stream: str) -> Path:
        """Return the file of a stream."""
        return stream_path(self.folder, stream)

    # ---- documents ----

    def describe(self, **facts: Any) -> None:
        """Add these entries to run.json; an entry of the same name is replaced."""
        files.write_json(self.folder / "run.json", {**self.record(), **redacted_tree(facts)})

    def record(self) -> dict[str, Any]:
        """Return the content of run.json; {} if it does not exist yet."""
        try:
            return recorded.document(self.folder / "run.json")
        except FileNotFoundError:
            return {}

    def summarise(self, summary: Mapping[str, Any]) -> None:
        """Write summary.json."""
        files.write_json(self.folder / "summary.json", redacted_tree(summary))

    def end(self, status: str, reason: str) -> None:
        """Record how the run ended: done, interrupted, collapsed or failed."""
        self.describe(status=status, exit_reason=reason, ended=now())

    @contextmanager
    def ending(self) -> Iterator[None]:
        """If the block raises, write the reason to run.json and the traceback to traceback.txt."""
        try:
            yield
        except BaseException as error:
            with suppress(OSError):  # a full disk may be the cause of the error
                if isinstance(error, Interrupted):
                    self.end("interrupted", str(error))
                else:
                    story = redacted("".join(traceback.format_exception(error)))
                    (self.folder / "traceback.txt").write_text(story, "utf-8", "backslashreplace")
                    self.end("failed", f"{type(error).__name__}: {error}")
            raise

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Remove a new directory if the block raises before run.json exists.

        The same name can then be used again after the error is corrected.
        """
        try:
            yield
        except BaseException:
            if self._fresh and not (self.folder / "run.json").exists():
                with suppress(OSError):  # the folder is not empty: keep other people's files
                    for name in BEGINNINGS:
                        (self.folder / name).unlink(missing_ok=True)
                    self.folder.rmdir()
            raise

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Raise `RunFailed` in place of the error of a write, if the directory was deleted."""
        try:
            yield
        except FileNotFoundError as error:
            if (self.folder / "config.yaml").exists():
                raise
            raise RunFailed(
                f"{self.folder} was deleted or moved while its run was going on, so nothing of the "
                "run can be saved; start it again"
            ) from error

    def close(self) -> None:
        """Close the files and release the directory."""
        with suppress(OSError):  # write errors were reported when they happened
            for stream in self._streams.values():
                stream.close()
        with suppress(OSError):  # the lock of a dead owner is taken over anyway
            runlock.release(self.folder)


def now() -> str:
    """Return the current time in UTC as ISO 8601, in whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def create(runs_dir: Path, name: str) -> RunLog:
    """Create and lock a new run directory. Raises `UserError` if it already holds a run."""
    folder = runs_dir / checked(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _refuse_a_run(folder)
        runlock.acquire(folder)
        with runlock.kept(folder):
            _refuse_a_run(folder)  # again, because another process may have started a run meanwhile
            return RunLog(folder, fresh=True)
    except OSError as error:
        raise UserError(
            f"the run directory {folder} cannot be written: {error.strerror or error}; "
            "choose another runs_dir="
        ) from error


def _refuse_a_run(folder: Path) -> None:
    """Raise `UserError` unless the folder is new, or its run was killed before writing a config."""
    beginnings = set(BEGINNINGS) - {"config.yaml"}
    there = (path.name for path in folder.iterdir() if not path.name.startswith(".config.yaml."))
    names = {name for name in there if not files.of_the_system(name)}
    if names - beginnings:
        raise UserError(
            f"{folder} exists already, and a run never writes over another: choose another name=, "
            f"or continue that run with resume=true name={folder.name}"
        )


def create_unnamed(runs_dir: Path, *parts: str) -> RunLog:
    """Create and lock a new run directory called `<part>-<part>-...-<time>`."""
    name = "-".join((*parts, time.strftime("%Y%m%d-%H%M%S")))
    for suffix in ("", *(f"-{n}" for n in range(2, 100))):
        if not (runs_dir / f"{name}{suffix}").exists():
            return create(runs_dir, f"{name}{suffix}")
    raise UserError(f"{runs_dir} holds a hundred runs called {name}; give this one a name=")


def checked(name: str) -> str:
    """Return `name`; raise `UserError` if it cannot be the name of a folder."""
    if not NAME.fullmatch(name):
        raise UserError(
            f"name={name} cannot be the name of a folder: use letters, digits, dots, dashes and "
            "underscores, at most 128, and begin with a letter or digit"
        )
    return name


def reopen(runs_dir: Path, name: str) -> RunLog:
    """Lock and return the directory of an existing run. Raises `UserError` if there is none."""
    folder = runs_dir / checked(name)
    if not any((folder / name).exists() for name in ("config.yaml", "run.json")):
        raise UserError(f"there is no run to resume in {folder}; start it without resume=true")
    try:
        runlock.acquire(folder)
        with runlock.kept(folder):
            files.sweep(folder)
            (folder / "traceback.txt").unlink(missing_ok=True)  # it belongs to the failure before
            return RunLog(folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written, so its run cannot continue: {error.strerror or error}; "
            "resume=true works again once it can"
        ) from error
