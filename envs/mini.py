"""The generated data set of `env.data=mini`: drawn on first use, then read from a cache.

The name of the cache folder holds a fingerprint of the generator's source and of the libraries that
draw. So after a change of the generator no old pictures are read. The folder is in MSSR_CACHE, by
default ~/.cache/mssr_rl. If it cannot be written, the problems are drawn again each time.
"""

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from mssr_rl.data import reader, sources, table_files
from mssr_rl.envs.families import FAMILIES, LEVELS, mini_rows
from mssr_rl.errors import UserError
from mssr_rl.options import require
from mssr_rl.problem import Problem

COUNTS = {"train": 2048, "val": 512, "test": 1024}
_DRAWING = ("numpy", "pillow", "scikit-learn")
_COLUMNS = ("problem", "images", "answer", "id", "family", "level")

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MiniOptions:
    """Which of the generated problems are used, and how they are posed; the numbers stay the same.

    Args:
        families: which of the ten generated families take turns, e.g. count,clock; data=mini only.
        levels: which of the levels 0, 1, 2 take turns; data=mini only.
        scene: picture, or words: the same problems with their pictures in words; data=mini only.
    """

    families: tuple[str, ...] = tuple(FAMILIES)
    levels: tuple[int, ...] = LEVELS
    scene: Literal["picture", "words"] = "picture"

    def check(self) -> None:
        """Raise `UserError` if a family or a level does not exist, or is there twice."""
        chosen: tuple[tuple[str, Sequence[Any], Sequence[Any]], ...] = (
            ("env.families", self.families, tuple(FAMILIES)),
            ("env.levels", self.levels, LEVELS),
        )
        for name, some, known in chosen:
            right = bool(some) and set(some) <= set(known) and len(set(some)) == len(some)
            listed = ",".join(map(str, known))
            require(right, name, ",".join(map(str, some)), f"some of {listed}, each once")


EVERYTHING = MiniOptions()


def mini_problems(
    split: str, limit: int | None = None, options: MiniOptions = EVERYTHING
) -> list[Problem]:
    """Return the first `limit` problems of a split; all of them if `limit` is None.

    A split has as many problems with some families and levels as with all of them.
    """
    if split not in COUNTS:
        raise UserError(f"no split {split!r}; choose from {', '.join(COUNTS)}")
    options.check()
    path = cache_file(split, options)
    if cached := _cached(path, split, limit):
        return cached
    if limit is not None and limit < COUNTS[split]:
        return reader.normalised(_drawn(split, limit, options), split, limit)
    _store(path, split, options)
    return _cached(path, split, limit) or reader.normalised(
        _drawn(split, COUNTS[split], options), split
    )


def cache_file(split: str, options: MiniOptions = EVERYTHING) -> Path:
    """Return the path of the cache file with the rows of a split, for the present generator."""
    folder = os.environ.get("MSSR_CACHE") or Path.home() / ".cache" / "mssr_rl"
    name = split
    if options != EVERYTHING:
        name += "-" + hashlib.blake2b(repr(options).encode(), digest_size=6).hexdigest()
    return Path(folder).expanduser() / f"mini-{_generator()}" / f"{name}.parquet"


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


def _drawn(split: str, count: int, options: MiniOptions) -> sources.Source:
    return sources.Source(f"mini {split}", split, False, None, lambda: _rows(split, count, options))


def _rows(split: str, count: int, options: MiniOptions) -> Iterator[table_files.Row]:
    for row in mini_rows(split, count, options.families, options.levels):
        shown = row if options.scene == "picture" else {**row, **told(row)}
        yield {name: shown[name] for name in _COLUMNS}


def told(row: Mapping[str, Any]) -> table_files.Row:
    """Return the columns of a row's text twin: its picture in words, before the same question."""
    question = row["problem"].removeprefix("<image>")
    return {"problem": f"{row['words']} {question}", "images": []}


def _store(path: Path, split: str, options: MiniOptions) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        log.info("drawing %d problems into %s", COUNTS[split], path)
        table_files.write_parquet(path, _rows(split, COUNTS[split], options))
    except OSError as error:
        log.warning("%s cannot be written (%s): problems are drawn anew", path, error.strerror)
