"""Writing files so that a kill at any moment leaves the old content or the new, never a half."""

import json
import os
from pathlib import Path
from typing import Any


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace `path` in one act; `durable` waits for the disk, so that it outlives a power cut."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.unlink(missing_ok=True)
        with aside.open("xb") as file:  # never through a link that lay there under this name
            file.write(content)
        if durable:
            sync(aside)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Remove what a kill in the middle of `write_bytes` has left beside the files of `folder`."""
    for found in folder.glob(".*.*"):
        if found.suffix.removeprefix(".").isdecimal():
            found.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Replace `path` by indented JSON; NaN is refused, because it is no JSON."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
