"""Finds the runs and comparisons below some folders, and reads the state of each run.

A page names a run or a comparison by its address, such as "runs/first". Only addresses that were
found here are served, so no address can lead anywhere else. Links that lead out of the folders are
not followed.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mssr_rl.errors import UserError
from mssr_rl.run.status import DEPTH, Status, status

FRESH = 1.0  # [s] the folders are searched again after this time
MOST = 20_000  # entries of a folder that are looked at


class Place(NamedTuple):
    """A run or a comparison: its address on the pages, and its folder."""

    address: str
    folder: Path
    root: Path


class Shelf(NamedTuple):
    """Everything that was found."""

    runs: Mapping[str, Place]  # by address, newest first
    comparisons: Mapping[str, Place]
    left_out: int  # folders that are not shown: links that lead out, or names that are no text

    def runs_of(self, comparison: Place) -> list[Place]:
        """Return the runs of a comparison."""
        inside = f"{comparison.address}/runs/"
        return [place for place in self.runs.values() if place.address.startswith(inside)]


class Library:
    """The runs and comparisons below some folders."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = tuple(roots)
        self._shelf: Shelf | None = None
        self._searched = 0.0

    def shelf(self) -> Shelf:
        """Return what the folders hold; they are searched at most once a second."""
        if self._shelf is None or time.monotonic() - self._searched > FRESH:
            self._shelf = self._search()
            self._searched = time.monotonic()
        return self._shelf

    def run(self, address: str) -> Place:
        """Return the run with this address. Raise `UserError` if there is none."""
        return _found(self.shelf().runs, address, "run")

    def comparison(self, address: str) -> Place:
        """Return the comparison with this address. Raise `UserError` if there is none."""
        return _found(self.shelf().comparisons, address, "comparison")

    def _search(self) -> Shelf:
        runs: list[tuple[float, Place]] = []
        comparisons: list[tuple[float, Place]] = []
        left_out = 0
        for root, label in zip(self.roots, labels(self.roots), strict=True):
            for folder, kind in _folders(root, root.resolve(), DEPTH):
                inside = folder.relative_to(root).as_posix()
                address = label if inside == "." else f"{label}/{inside}"
                if kind is None or not _is_text(address):
                    left_out += 1
                    continue
                place = Place(address, folder, root)
                (runs if kind == "run" else comparisons).append((_time(folder), place))
        return Shelf(_by_address(runs), _by_address(comparisons), left_out)


def labels(roots: Sequence[Path]) -> list[str]:
    """Return a short name for each folder; equal names get a number."""
    names: list[str] = []
    for root in roots:
        name = root.resolve().name or "root"
        same = sum(other == name or other.startswith(f"{name}~") for other in names)
        names.append(f"{name}~{same + 1}" if same else name)
    return names


def state_of(place: Place) -> Status:
    """Return the state of a run, as `status` prints it."""
    return status(place.folder, place.root)


def _found(places: Mapping[str, Place], address: str, kind: str) -> Place:
    if address not in places:
        raise UserError(f"no {kind} has the address {address[:200]!r}; it may have been deleted")
    return places[address]


def _folders(folder: Path, root: Path, depth: int) -> Iterator[tuple[Path, str | None]]:
    """Yield (folder, "run" or "comparison") below `folder`; None for a link that leads out."""
    if not folder.resolve().is_relative_to(root):
        yield folder, None
        return
    if (folder / "run.json").is_file():
        yield folder, "run"
        return
    if (folder / "compare.json").is_file():
        yield folder, "comparison"
    for inner in _inner(folder) if depth else ():
        yield from _folders(inner, root, depth - 1)


def _inner(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            few = (entry for entry, _ in zip(entries, range(MOST), strict=False))
            return [Path(entry.path) for entry in few if entry.is_dir()]
    except OSError:
        return []  # it was deleted, or may not be read


def _is_text(address: str) -> bool:
    try:
        address.encode()
    except UnicodeEncodeError:
        return False
    return address.isprintable()


def _time(folder: Path) -> float:
    try:
        return (folder / "config.yaml").stat().st_mtime
    except OSError:
        return 0.0


def _by_address(found: Sequence[tuple[float, Place]]) -> dict[str, Place]:
    newest_first = sorted(found, key=lambda item: (-item[0], item[1].address))
    return {place.address: place for _, place in newest_first}
