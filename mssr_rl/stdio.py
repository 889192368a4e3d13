"""Standard input, output and error of this process: closed, full, or read by nobody any more.

Nothing of that ends a run. What is said on standard error is a courtesy, so an error of writing it
is passed over. On standard output it depends on the verb. `train`, `compare` and `eval` keep what
they make in a folder and go on; `grade` and all others make nothing else, so they end: quietly
where the reader has left, as `head` does, with a sentence where the disk is full.
"""

import errno
import io
import os
import select
import sys
from typing import Any

READER_LEFT = frozenset({errno.EPIPE, errno.EIO, errno.ECONNRESET, errno.ENXIO})


class _Outlet(io.FileIO):
    """A descriptor that is written to as long as that works."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)

    def write(self, content: Any, /) -> int:
        """Write some of it, or, where that fails, pass over all of it."""
        try:
            return self._write(content)
        except OSError as error:
            self.lost(error)
            return memoryview(content).nbytes

    def _write(self, content: Any) -> int:
        while (written := super().write(content)) is None:  # a full pipe that does not wait itself
            select.select([], [self], [])
        return written

    def lost(self, error: OSError) -> None:
        """What an error of writing comes to: nothing."""


class _Output(_Outlet):
    """Standard output: after an error nothing more of it is written, no half line either."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.wanted, self._over = True, False

    def write(self, content: Any, /) -> int:
        """Write some of it, unless it is over."""
        return memoryview(content).nbytes if self._over else super().write(content)

    def lost(self, error: OSError) -> None:
        """End the program, or say that the work goes on without it."""
        self._over = True
        if error.errno in READER_LEFT:
            if self.wanted:
                raise SystemExit(0) from None
            return
        then = "stopped here" if self.wanted else "going on: everything stands in the folder too"
        sys.stderr.write(f"mssr_rl: standard output cannot be written: {error.strerror}; {then}\n")
        if self.wanted:
            raise SystemExit(1) from None


_output: _Output | None = None


def open_closed() -> None:
    """Open those of descriptors 0 to 2 that are closed on /dev/null.

    Else the next file that is opened gets the number, and what is said goes into that file.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(opened, True)
    sys.stdin = sys.stdin or open(0, closefd=False, encoding="utf-8")  # noqa: SIM115
    sys.stdout = sys.stdout or _text(_Outlet(1), "utf-8", "backslashreplace")
    sys.stderr = sys.stderr or _text(_Outlet(2), "utf-8", "backslashreplace")


def secure() -> None:
    """Make this process's standard streams such that losing one ends nothing it should not end."""
    global _output  # noqa: PLW0603
    open_closed()
    _output = _Output(1)
    sys.stdout = _like(sys.stdout, _output)
    sys.stderr = _like(sys.stderr, _Outlet(2))


def output_is_not_all() -> None:
    """What the program makes stands in files as well: it goes on without standard output."""
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
