"""Send messages between a grading process and its helper: a length, then as many bytes of JSON."""

import json
import os
import select
import struct
import time
from typing import Any

_LENGTH = struct.Struct(">I")


def send(fd: int, message: Any) -> None:
    """Write one message. It is ASCII, so any text can be sent, lone surrogates too."""
    body = json.dumps(message).encode()
    view = memoryview(_LENGTH.pack(len(body)) + body)
    while view:
        view = view[os.write(fd, view) :]


def receive(fd: int, seconds: float | None = None) -> Any:
    """Return the next message.

    Raises:
        EOFError: the other end is closed.
        TimeoutError: no message came within `seconds`; None waits for ever.
    """
    # One deadline for the whole message: parts that come slowly do not move it.
    end = None if seconds is None else time.monotonic() + seconds
    (length,) = _LENGTH.unpack(_read(fd, _LENGTH.size, end))
    return json.loads(_read(fd, length, end))


def _read(fd: int, count: int, end: float | None) -> bytes:
    parts = bytearray()
    while len(parts) < count:
        left = None if end is None else max(0.0, end - time.monotonic())
        if not select.select([fd], [], [], left)[0]:
            raise TimeoutError
        part = os.read(fd, count - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
