"""A cache of facts about pictures, by the hash of their bytes: faults and thumbnails.

Every picture is decoded once, by several threads (Pillow's decoders run in parallel). The result is
kept in a small database, so that the next start only computes hashes. The database is in
MSSR_CACHE, by default ~/.cache/mssr_rl. Its name depends on the version of Pillow and on the limits
for pictures. If it cannot be used, pictures are decoded each time.
"""

import hashlib
import io
import os
import sqlite3
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
from numpy.typing import NDArray
from PIL import Image

from mssr_rl.data import pictures

SIDE = 64  # of a thumbnail [pixels]
WORKERS = min(8, os.cpu_count() or 1)
SAID_EVERY = 5.0  # between two lines of progress [s]
_FORM = "2"  # version of the table; raise it when the stored facts change

Thumbnail = NDArray[np.uint8]  # SIDE * SIDE levels of grey


class DecodedPicture(NamedTuple):
    """The bytes of a picture after it was decoded once, or the reason why it cannot be used."""

    content: bytes  # the same bytes, or a new PNG if a viewer shows something else
    fault: str = ""  # why it cannot be used; empty if it can


class _Known(NamedTuple):
    fault: str
    changed: bool  # `as_seen` returns other bytes, and is called again when they are needed
    thumbnail: bytes  # compressed


class Progress:
    """Prints a line of progress every few seconds while pictures are decoded."""

    def __init__(self, what: str) -> None:
        self.what, self.count, self.decoded = what, 0, 0
        self._next = time.monotonic() + SAID_EVERY

    def add(self, count: int, decoded: int) -> None:
        """Count `count` more pictures; `decoded` of them were not in the cache."""
        self.count += count
        self.decoded += decoded
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + SAID_EVERY
            sys.stderr.write(f"{self.what}: {self.count:,} pictures, {self.decoded:,} decoded\n")
            sys.stderr.flush()


def looked_at(contents: Sequence[bytes], progress: Progress | None = None) -> list[DecodedPicture]:
    """Return for each picture, in order, its bytes as a viewer shows it, or its fault."""
    marks = [digest(content) for content in contents]
    known = _read(marks)
    todo = {
        m: c for m, c in zip(marks, contents, strict=True) if m not in known or known[m].changed
    }
    with ThreadPoolExecutor(WORKERS) as pool:
        fresh = dict(zip(todo, pool.map(_look, todo.values()), strict=True))
    new = {mark: facts for mark, (_, facts) in fresh.items() if mark not in known}
    _store([*new.items(), *_of_changed(fresh, new)])
    if progress is not None:
        progress.add(len(contents), len(new))
    return [
        fresh[m][0] if m in fresh else DecodedPicture(c, known[m].fault)
        for m, c in zip(marks, contents, strict=True)
    ]


def thumbnails(by_mark: Mapping[bytes, bytes]) -> dict[bytes, Thumbnail]:
    """Return {digest: thumbnail} for those pictures that can be decoded."""
    known = _read(list(by_mark))
    packed_by_mark = {m: k.thumbnail for m, k in known.items() if k.thumbnail}
    missing = [mark for mark in by_mark if mark not in packed_by_mark]
    with ThreadPoolExecutor(WORKERS) as pool:
        fresh = dict(zip(missing, pool.map(_look, (by_mark[m] for m in missing)), strict=True))
    _store([(mark, new) for mark, (_, new) in fresh.items()])
    packed_by_mark |= {mark: new.thumbnail for mark, (_, new) in fresh.items() if new.thumbnail}
    return {
        m: np.frombuffer(zlib.decompress(packed), np.uint8) for m, packed in packed_by_mark.items()
    }


def digest(content: bytes) -> bytes:
    """Return the hash that identifies a picture in the cache."""
    return hashlib.blake2b(content, digest_size=16).digest()


def _look(content: bytes) -> tuple[DecodedPicture, _Known]:
    try:
        shown, packed = pictures.as_seen_and(content, _packed_thumbnail)
    except ValueError as error:
        return DecodedPicture(content, str(error)), _Known(str(error), changed=False, thumbnail=b"")
    return DecodedPicture(shown), _Known("", changed=shown is not content, thumbnail=packed)


def _packed_thumbnail(image: Image.Image) -> bytes:
    # Only RGB and grey become the same levels directly; a palette or ink goes through RGB.
    plain = image if image.mode in ("L", "RGB") else image.convert("RGB")
    small = plain.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return zlib.compress(small.tobytes(), 1)


def _of_changed(
    fresh: dict[bytes, tuple[DecodedPicture, _Known]], new: dict[bytes, _Known]
) -> Iterator[tuple[bytes, _Known]]:
    """Yield facts about the new bytes of changed pictures, for later look-ups of these bytes."""
    for mark in new:
        look, facts = fresh[mark]
        if facts.changed:
            yield digest(look.content), facts._replace(changed=False)


# ---- the database ----


def database() -> Path:
    """Return the path of the database for this version of Pillow and these limits."""
    folder = os.environ.get("MSSR_CACHE") or Path.home() / ".cache" / "mssr_rl"
    limits = (pictures.MAX_PIXELS, pictures.MAX_FRAME_PIXELS, pictures.MAX_BYTES, pictures.FORMATS)
    name = hashlib.blake2b(
        repr((_FORM, SIDE, PIL.__version__, limits)).encode(), digest_size=6
    ).hexdigest()
    return Path(folder).expanduser() / f"pictures-{name}.sqlite"


def _read(marks: Sequence[bytes]) -> dict[bytes, _Known]:
    path = database()
    facts: dict[bytes, _Known] = {}
    if not path.is_file():
        return {}
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=10)) as base:
        for start in range(0, len(marks), 500):
            some = marks[start : start + 500]
            rows = base.execute(
                "SELECT mark, fault, changed, thumbnail FROM pictures"  # noqa: S608  only marks
                f" WHERE mark IN ({','.join('?' * len(some))})",
                some,
            )
            facts |= {mark: _Known(fault, bool(changed), t) for mark, fault, changed, t in rows}
    return facts


def _store(rows: Sequence[tuple[bytes, _Known]]) -> None:
    """Store the facts. If that fails, they are computed again at the next start."""
    if not rows:
        return
    path = database()
    with suppress(OSError, sqlite3.Error):
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=10)) as base, base:
            base.execute(
                "CREATE TABLE IF NOT EXISTS pictures"
                " (mark BLOB PRIMARY KEY, fault TEXT, changed INTEGER, thumbnail BLOB)"
            )
            base.executemany(
                "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?)",
                [(mark, k.fault, int(k.changed), k.thumbnail) for mark, k in rows],
            )


def size(content: bytes) -> tuple[int, int]:
    """Return the width and height [pixels] from the header of a picture that was checked before."""
    with Image.open(io.BytesIO(content)) as image:
        return image.size
