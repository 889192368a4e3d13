"""Handles standard streams that are closed, full, or whose reader has ended.

None of these faults ends a training run. Errors on standard error are ignored, because it only
carries messages. For standard output it depends on the verb. `train`, `compare` and `eval` keep
their results in a folder and continue. All other verbs, such as `grade`, have no other output, so
they end: silently if the reader ended (as `head` does), and with a message if the disk is full.
"""

import errno
import io
import os
import select
import sys
from typing import Any

READER_LEFT = frozenset({errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.ENXIO})


class _Outlet(io.FileIO):
    """A file descriptor whose write errors are ignored."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)

    def write(self, content: Any, /) -> int:
        """Write some of `content`; return the number of bytes.

        After an error it returns as if all of `content` was written.
        """
        try:
            return self._write(content)
        except OSError as error:
            self.lost(error)
            return memoryview(content).nbytes

    def _write(self, content: Any) -> int:
        while (written := super().write(content)) is None:  # a full, non-blocking pipe
            select.select([], [self], [])
        return written

    def lost(self, error: OSError) -> None:
        """Handle a write error. This class ignores it."""


class _Output(_Outlet):
    """Standard output. After an error nothing more is written, so no line can be incomplete."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.wanted, self._over = True, False

    def write(self, content: Any, /) -> int:
        """Write some of `content`, unless an error came before."""
        return memoryview(content).nbytes if self._over else super().write(content)

    def lost(self, error: OSError) -> None:
        """End the program, or print that the work continues without standard output."""
        self._over = True
        if error.errno in READER_LEFT:
            if self.wanted:
                raise SystemExit(0) from None
            return
        then = "stopped here" if self.wanted else "continuing: the folder has everything too"
        sys.stderr.write(f"mssr_rl: standard output cannot be written: {error.strerror}; {then}\n")
        if self.wanted:
            raise SystemExit(1) from None


_output: _Output | None = None


def open_closed() -> None:
    """Open descriptors 0 to 2 on /dev/null if they are closed.

    Otherwise the next opened file would get this number, and messages would be written into it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, this one
            os.set_inheritable(opened, True)
    sys.stdin = sys.stdin or open(0, closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or _text(_Outlet(1), "utf-8", "backslashreplace")
    sys.stderr = sys.stderr or _text(_Outlet(2), "utf-8", "backslashreplace")


def secure() -> None:
    """Replace the standard streams of this process by streams that handle write errors."""
    global _output  # noqa: PLW0603
    open_closed()
    _output = _Output(1)
    sys.stdout = _like(sys.stdout, _output)
    sys.stderr = _like(sys.stderr, _Outlet(2))


def output_is_not_all() -> None:
    """Let the program continue without standard output, because its results are also in files."""
    if _output is not None:
        _output.wanted = False


def _like(stream: Any, outlet: _Outlet) -> io.TextIOWrapper:
    stream.flush()
    return _text(outlet, stream.encoding, stream.errors, line_buffering=stream.line_buffering)


def _text(
    outlet: _Outlet, encoding: str, errors: str, *, line_buffering: bool = True
) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(outlet), encoding, errors, line_buffering=line_buffering
    )
