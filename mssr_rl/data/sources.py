"""Where rows lie: one file, a folder with a file for each split, or a data set on the hub.

`data` turns the rows into problems. Files are `.parquet`, `.jsonl`, `.json` (a list of objects)
or `.tsv`; a folder may hold shards (`train-00000-of-00004.parquet`), also under `data/`.
Which file answers for which split:

    wanted   the file of that name; `validation` is `val`
    val      else `test`, with a warning: choosing by it flatters the test score
    test     else `val`, with a warning
    both     else a tenth of `train` (512 rows at most), drawn by a hash of the row's key and then
             missing from train; the same for a data set that is one file
"""

import csv
import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import untrusted
from mssr_rl.data import parquet
from mssr_rl.errors import UserError
from mssr_rl.files import write_bytes

Row = Mapping[str, Any]

SUFFIXES = (".parquet", ".jsonl", ".json", ".tsv")
JSON_BYTES = 2**30  # of a .json, which is read as a whole; .jsonl and .parquet are not
ROW_BYTES = 2**27  # of a line of .jsonl and .tsv: a picture of 64 MiB in base64
SPLITS = ("train", "val", "test")
_NAMES = {"train": ("train",), "val": ("val", "validation", "dev"), "test": ("test",)}
_FALLBACK = {"train": (), "val": ("test", "train"), "test": ("val", "train")}

log = logging.getLogger(__name__)


class NoSuchSplit(UserError):
    """The data set has no split of that name."""


class Source(NamedTuple):
    """The rows that answer for a split, unread: `rows` starts reading."""

    name: str  # for messages and for the keys of rows without an id
    split: str  # the split the rows were stored as
    holds_out: bool  # val and test have to be taken from these rows
    folder: Path | None  # what pictures' paths are relative to
    rows: Callable[[], Iterator[Row]]


def local(path: Path, split: str) -> Source:
    """The source of `split` in a file or folder; a `UserError` says what is missing."""
    if path.is_dir():
        return _folder_source(path, split)
    return file_source((path,), "train", holds_out=True)


def choose_split(name: str, split: str, stored: Mapping[str, str]) -> tuple[str, bool]:
    """Which stored split answers for `split`, and whether val and test are held out of it.

    `stored` maps our names of the splits (train, val, test) to the source's own.
    """
    for other in (split, *_FALLBACK[split]):
        if other in stored:
            if other not in (split, "train"):
                log.warning("%s has no %s split: its %s split stands in", name, split, other)
            return other, set(stored) == {"train"}
    raise UserError(f"{name} has no {split} split; found {', '.join(stored) or 'none'}")


def named(path: Path, split: str, names: Sequence[str]) -> Source:
    """The rows in a file, or in a folder's first file of one of the names; nothing held out."""
    if path.is_file():
        return file_source((path,), split, holds_out=False)
    for name in names:
        if files := _split_files(path, name):
            return file_source(files, split, holds_out=False)
    raise UserError(
        f"{path} holds no file for {split}: name one {names[0]}.parquet"
        f" (or {', '.join(SUFFIXES[1:])}; {', '.join(names)} are looked for)"
    )


def our_names(names: Mapping[str, Any]) -> dict[str, str]:
    """Our names of the splits that are there, mapped to the source's."""
    return {
        ours: theirs
        for ours, known in _NAMES.items()
        for theirs in reversed(known)
        if theirs in names
    }


def _folder_source(folder: Path, split: str) -> Source:
    files = {name: _split_files(folder, name) for names in _NAMES.values() for name in names}
    stored = our_names({name: found for name, found in files.items() if found})
    if not stored:
        raise UserError(
            f"{folder} holds no train, val or test file;"
            f" name them train.parquet, val.parquet, test.parquet (or {', '.join(SUFFIXES[1:])})"
        )
    ours, holds_out = choose_split(str(folder), split, stored)
    return file_source(files[stored[ours]], ours, holds_out=holds_out)


def _split_files(folder: Path, name: str) -> tuple[Path, ...]:
    """The files of one split, in the first place and format that has any."""
    for place in (folder, folder / "data"):
        for suffix in SUFFIXES:
            shards = sorted(place.glob(f"{name}-*-of-*{suffix}"))
            if found := [p for p in (place / f"{name}{suffix}", *shards) if p.is_file()]:
                return tuple(found)
    return ()


def file_source(paths: tuple[Path, ...], split: str, *, holds_out: bool) -> Source:
    """The rows of the files of one split, one file after the other."""
    if paths[0].suffix not in SUFFIXES:
        raise UserError(f"{paths[0]} is no data set: use one of {', '.join(SUFFIXES)}")
    return Source(
        name=paths[0].name,
        split=split,
        holds_out=holds_out,
        folder=paths[0].parent,
        rows=lambda: (row for path in paths for row in _READERS[path.suffix](path)),
    )


def write_parquet(path: Path, rows: Iterable[Row]) -> None:
    """Store rows so that a reader finds all of them or no file at all."""
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([dict(row) for row in rows]), content)
    write_bytes(path, content.getvalue())


def _jsonl(path: Path) -> Iterator[Row]:
    try:
        for number, line in enumerate(untrusted.lines(path, ROW_BYTES), 1):
            if line is None:
                raise _too_long(path, number)
            if line.strip():
                yield _object(json.loads(line), f"{path} line {number}")
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} line {number} is no JSON: {_first_line(error)}") from error


def _json(path: Path) -> Iterator[Row]:
    try:
        content = json.loads(untrusted.content(path, JSON_BYTES))
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{path} cannot be read as JSON: {_first_line(error)}") from error
    if not isinstance(content, list):
        raise UserError(f"{path} holds no list of rows; use a list of objects, or .jsonl")
    for i, item in enumerate(content):
        yield _object(item, f"{path} row {i}")


def _tsv(path: Path) -> Iterator[Row]:
    """Tab-separated with a header; fields may be long, as pictures in base64 are."""
    csv.field_size_limit(ROW_BYTES)
    try:
        yield from csv.DictReader(_texts(path), delimiter="\t", strict=True)
    except (csv.Error, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} cannot be read as TSV: {_first_line(error)}") from error


def _texts(path: Path) -> Iterator[str]:
    for number, line in enumerate(untrusted.lines(path, ROW_BYTES), 1):
        if line is None:
            raise _too_long(path, number)
        yield line.decode("utf-8")


def _too_long(path: Path, number: int) -> UserError:
    return UserError(f"{path} line {number} is longer than {ROW_BYTES >> 20} MiB")


_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".parquet": parquet.rows,
    ".jsonl": _jsonl,
    ".json": _json,
    ".tsv": _tsv,
}


def _object(item: Any, where: str) -> Row:
    if not isinstance(item, dict):
        raise UserError(f"{where} is no object with columns but {type(item).__name__}")
    return item


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
