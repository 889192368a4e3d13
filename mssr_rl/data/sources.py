"""Find the rows of a split: in one file, in a folder with files for each split, or on the hub.

`table_files` reads the files, and `reader` turns the rows into problems. A folder may contain

    train.parquet, test.jsonl            a file for each split, also under data/
    train-00000-of-00004.parquet         shards, as on the hub
    train/0000.parquet                   a folder for each split, with any number of files
    train/metadata.jsonl                 the image folder of `datasets`, or metadata.csv
    dataset_dict.json, train/*.arrow     what save_to_disk writes, with splits or without
    geo_train.json                       otherwise a file with the split's name in its own name
    rows.jsonl                           otherwise its only data file

Which stored split is used for which:

    any      the split with that name; `validation`, `dev` and similar names are `val`
    val      if missing: `test`, with a warning, as selection on it makes its score too high
    test     if missing: `val`, with a warning
    both     if missing: a tenth of `train` (512 rows at most), chosen by a hash of the row's key,
             and removed from train; the same for a data set that has only one split
"""

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mssr_rl.data import table_files
from mssr_rl.data.table_files import SUFFIXES, Row
from mssr_rl.errors import UserError

SPLITS = ("train", "val", "test")
_NAMES = {
    "train": ("train", "training"),
    "val": ("val", "validation", "dev", "valid"),
    "test": ("test", "testing"),
}
_FALLBACK = {"train": (), "val": ("test", "train"), "test": ("val", "train")}
_NO_DATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_SHARD = re.compile(r"(?:.*[-_.])?[0-9]+(?:-of-[0-9]+)?")

log = logging.getLogger(__name__)


class NoSuchSplit(UserError):
    """Raised if the data set has no split with that name."""


class Source(NamedTuple):
    """The rows of a split that are not read yet; calling `rows` starts reading."""

    name: str  # for messages and for the keys of rows without an id
    split: str  # the name under which the rows are stored
    holds_out: bool  # val and test must be held out of these rows
    folder: Path | None  # the paths of pictures are relative to it
    rows: Callable[[], Iterator[Row]]


def local(path: Path, split: str) -> Source:
    """Return the source of `split` in a file or folder.

    Raises UserError if it has no such split or no data.
    """
    if path.is_dir():
        return _folder_source(path, split)
    return file_source((path,), "train", holds_out=True)


def choose_split(name: str, split: str, stored: Mapping[str, str]) -> tuple[str, bool]:
    """Return which stored split is used for `split`, and whether val and test are held out of it.

    `stored` maps our names of the splits (train, val, test) to the data set's own names. Raises
    UserError if there is no split that can be used.
    """
    for other in (split, *_FALLBACK[split]):
        if other in stored:
            if other not in (split, "train"):
                log.warning("%s has no %s split: its %s split is used instead", name, split, other)
            return other, set(stored) == {"train"}
    raise UserError(f"{name} has no {split} split; found {', '.join(stored) or 'none'}")


def named(path: Path, split: str, names: Sequence[str]) -> Source:
    """Return the source of a file, or of the files in a folder for the first name that has any.

    No rows are held out.
    """
    if path.is_file():
        return file_source((path,), split, holds_out=False)
    for name in names:
        if files := _split_files(path, name):
            return file_source(files, split, holds_out=False)
    raise UserError(
        f"{path} holds no file for {split}: name one {names[0]}.parquet"
        f" (or {', '.join(SUFFIXES[1:])}; {', '.join(names)} are looked for)"
    )


def our_names(names: Mapping[str, object]) -> dict[str, str]:
    """Return {our name of a split: the data set's name} for the splits that exist."""
    return {
        ours: theirs
        for ours, known in _NAMES.items()
        for theirs in reversed(known)
        if theirs in names
    }


def file_source(paths: tuple[Path, ...], split: str, *, holds_out: bool) -> Source:
    """Return the source of the rows in the files of one split, one file after the other."""
    if not table_files.suffix_of(paths[0]):
        raise UserError(
            f"{paths[0]} is not a data set: use a file that ends with {', '.join(SUFFIXES)}"
        )
    return Source(
        name=paths[0].name,
        split=split,
        holds_out=holds_out,
        folder=paths[0].parent,
        rows=lambda: (row for path in paths for row in table_files.rows_of(path)),
    )


def _folder_source(folder: Path, split: str) -> Source:
    files = {name: _split_files(folder, name) for names in _NAMES.values() for name in names}
    files = {name: by_split for name, by_split in files.items() if by_split} or _by_part_of_name(
        folder
    )
    if stored := our_names(files):
        ours, holds_out = choose_split(str(folder), split, stored)
        return file_source(files[stored[ours]], ours, holds_out=holds_out)
    if by_split := _only_split(folder):
        return file_source(by_split, "train", holds_out=True)
    there = sorted(path.name for path in folder.iterdir())
    others = f"; found {', '.join(there[:6])}{' …' if there[6:] else ''}" if there else ""
    raise UserError(
        f"{folder} holds no train, val or test file; name them train.parquet, val.parquet,"
        f" test.parquet (or {', '.join(SUFFIXES[1:])}){others}"
    )


def _split_files(folder: Path, name: str) -> tuple[Path, ...]:
    """Return the files of one split, from the first place and format that has any."""
    for place in (folder, folder / "data"):
        for suffix in SUFFIXES:
            shards = sorted(place.glob(f"{name}-*-of-*{suffix}"))
            if existing := [p for p in (place / f"{name}{suffix}", *shards) if p.is_file()]:
                return tuple(existing)
        if inside := _data_files(place / name):
            return _metadata(inside) or _one_format(inside)
    return ()


def _only_split(folder: Path) -> tuple[Path, ...]:
    """Return the files of a folder without named splits: a table, shards, or the only data file."""
    files = _data_files(folder)
    if metadata := _metadata(files):
        return metadata
    for suffix in SUFFIXES:
        alike = tuple(path for path in files if table_files.suffix_of(path) == suffix)
        if alike and all(_SHARD.fullmatch(path.name.removesuffix(suffix)) for path in alike):
            return alike
    with_rows = files if len(files) == 1 else tuple(path for path in files if _has_rows(path))
    if len(with_rows) > 1:
        names = ", ".join(path.name for path in with_rows[:6])
        raise UserError(
            f"{folder} holds several data files and no split is in their names: {names};"
            " name the file in env.data, or call the files train, val and test"
        )
    return with_rows


def _metadata(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Return the file metadata.* of an image folder; () if there is none."""
    return tuple(path for path in files if path.name.split(".")[0] == "metadata")[:1]


def _by_part_of_name(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return {split: files} for files with the split in their name, such as geo3k_train.json."""
    by_split: dict[str, tuple[Path, ...]] = {}
    for path in (*_data_files(folder), *_data_files(folder / "data")):
        stem = path.name[: -len(table_files.suffix_of(path))].lower()
        parts = re.split(r"[^a-z]+", stem)
        for name in {n for names in _NAMES.values() for n in names if n in parts}:
            by_split[name] = (*by_split.get(name, ()), path)
    return {name: _one_format(paths) for name, paths in by_split.items()}


def _one_format(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    if len({table_files.suffix_of(path) for path in paths}) == 1:
        return paths
    names = ", ".join(path.name for path in paths[:6])
    raise UserError(f"{names} would all be one split, in several formats; name one in env.data")


def _data_files(folder: Path) -> tuple[Path, ...]:
    """Return a folder's data files, sorted by name, without the `datasets` library's own files."""
    if not folder.is_dir():
        return ()
    files = (p for p in sorted(folder.iterdir()) if table_files.suffix_of(p) and p.is_file())
    return tuple(p for p in files if p.name not in _NO_DATA and not p.name.startswith("cache-"))


def _has_rows(path: Path) -> bool:
    """Return whether a file begins with a row; some JSON files of a folder hold only settings."""
    try:
        return next(iter(table_files.rows_of(path)), None) is not None
    except UserError:
        return False
