"""Writing files so that a kill at any moment leaves the old content or the new, never a half."""

import json
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

# What operating systems, network disks and file managers put into any folder, for their own use.
OF_THE_SYSTEM = (
    *(".DS_Store", "._*", ".AppleDouble", "__MACOSX"),
    *("Thumbs.db", "ehthumbs.db", "desktop.ini"),
    *("@eaDir", ".nfs*", ".fuse_hidden*", ".directory"),
)


def of_the_system(name: str) -> bool:
    """Whether a file or folder of this name is nobody's content, such as .DS_Store."""
    return any(fnmatchcase(name, pattern) for pattern in OF_THE_SYSTEM)


def below(folder: Path) -> Iterator[Path]:
    """Every file below `folder` that is somebody's content."""
    for path in folder.rglob("*"):
        if path.is_file() and not any(map(of_the_system, path.relative_to(folder).parts)):
            yield path


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
