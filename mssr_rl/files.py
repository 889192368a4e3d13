"""Writes files so that a kill at any time leaves the old or the new content, never a mixture."""

import json
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

# Files that operating systems, network disks and file managers create in any folder.
OF_THE_SYSTEM = (
    *(".DS_Store", "._*", ".AppleDouble", "__MACOSX"),
    *("Thumbs.db", "ehthumbs.db", "desktop.ini"),
    *("@eaDir", ".nfs*", ".fuse_hidden*", ".directory"),
)


def of_the_system(name: str) -> bool:
    """Return whether the operating system makes files of this name, such as .DS_Store."""
    return any(fnmatchcase(name, pattern) for pattern in OF_THE_SYSTEM)


def below(folder: Path) -> Iterator[Path]:
    """Yield every file below `folder`, except files of the operating system."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(map(of_the_system, path.relative_to(folder).parts)):
            yield path


def write_bytes(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Replace the file `path` atomically.

    With `durable`, wait until the content is on the disk, so that it survives a power cut.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        aside.unlink(missing_ok=True)
        with aside.open("xb") as file:  # "x" never follows a link with this name
            file.write(content)
        if durable:
            sync(aside)
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def sweep(folder: Path) -> None:
    """Remove temporary files that a killed `write_bytes` left in `folder`."""
    for leftover in folder.glob(".*.*"):
        if leftover.suffix.removeprefix(".").isdecimal():
            leftover.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Replace `path` by indented JSON. Raises `ValueError` for NaN, which is not JSON."""
    write_bytes(path, (json.dumps(content, indent=2, allow_nan=False) + "\n").encode())


def sync(path: Path) -> None:
    """Wait until the content of a file, or the list of files in a folder, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
