"""The generated data set of `env.data=mini`: drawn on first use, then read from a cache.

The name of the cache folder holds a fingerprint of the generator's source and of the libraries that
draw. So after a change of the generator no old pictures are read. The folder is in MSSR_CACHE, by
default ~/.cache/mssr_rl. If it cannot be written, the problems are drawn again each time.
"""

import hashlib
import logging
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from mssr_rl.data import reader, sources, table_files
from mssr_rl.errors import UserError
from mssr_rl.problem import Problem

COUNTS = {"train": 2048, "val": 512, "test": 1024}
_DRAWING = ("numpy", "pillow", "scikit-learn")
_COLUMNS = ("problem", "images", "answer", "id", "family", "level")

log = logging.getLogger(__name__)


def mini_problems(split: str, limit: int | None = None) -> list[Problem]:
    """Return the first `limit` problems of a split; all of them if `limit` is None."""
    if split not in COUNTS:
        raise UserError(f"no split {split!r}; choose from {', '.join(COUNTS)}")
    path = cache_file(split)
    if cached := _cached(path, split, limit):
        return cached
    if limit is not None and limit < COUNTS[split]:
        return reader.normalised(_drawn(split, limit), split, limit)
    _store(path, split)
    return _cached(path, split, limit) or reader.normalised(_drawn(split, COUNTS[split]), split)


def cache_file(split: str) -> Path:
    """Return the path of the cache file with the rows of a split, for the present generator."""
    folder = os.environ.get("MSSR_CACHE") or Path.home() / ".cache" / "mssr_rl"
    return Path(folder).expanduser() / f"mini-{_generator()}" / f"{split}.parquet"


def _generator() -> str:
    """Return a fingerprint of all code and settings that decide how problems are drawn."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted((Path(__file__).parent / "families").rglob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    for package in _DRAWING:
        digest.update(f"{package} {version(package)}".encode())
    digest.update(repr((COUNTS, _COLUMNS)).encode())
    return digest.hexdigest()


def _cached(path: Path, split: str, limit: int | None) -> list[Problem]:
    """Return the cached problems; [] if there is no cache file, or it does not have enough rows."""
    if not path.is_file() or (limit is not None and limit < 1):
        return []
    try:
        source = sources.file_source((path,), split, holds_out=False)
        problems = reader.normalised(source, split, limit)
    except UserError as error:
        log.warning("the cache is drawn again: %s", error)
        return []
    return problems if len(problems) == min(limit or COUNTS[split], COUNTS[split]) else []


def _drawn(split: str, count: int) -> sources.Source:
    return sources.Source(f"mini {split}", split, False, None, lambda: _rows(split, count))


def _rows(split: str, count: int) -> Iterator[table_files.Row]:
    from mssr_rl.envs.families import mini_rows

    return ({name: row[name] for name in _COLUMNS} for row in mini_rows(split, count))


def _store(path: Path, split: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log.info("drawing %d problems into %s", COUNTS[split], path)
        table_files.write_parquet(path, _rows(split, COUNTS[split]))
    except OSError as error:
        log.warning("%s cannot be written (%s): problems are drawn anew", path, error.strerror)
