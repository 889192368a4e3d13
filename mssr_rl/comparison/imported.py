"""Runs of other trainers in a comparison's folder: curves without problems, so without a verdict.

imported/<name>/
    import.json      what it is, where it came from, which of its names was taken for what
    metrics.jsonl    {"step", our metrics}
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import files
from mssr_rl.errors import UserError
from mssr_rl.report.curves import Line, Point
from mssr_rl.report.runfiles import Row

FOLDER = "imported"
FILES = ("import.json", "metrics.jsonl")
ACCURACY = "val/accuracy"


class About(NamedTuple):
    """import.json."""

    name: str
    format: str  # in words
    file: str  # its name where it was
    sha256: str
    rollouts_per_step: int
    source: Mapping[str, str]  # our metric -> their name


class Imported(NamedTuple):
    """One run."""

    folder: Path
    about: About
    rows: tuple[Row, ...]

    def line(self, metric: str, smooth: int) -> Line:
        """Its curve over rollouts; without points where it did not record the metric."""
        points = tuple(
            Point(row["step"] * self.about.rollouts_per_step, row[metric], row["step"])
            for row in self.rows
            if metric in row
        )
        dots = metric == ACCURACY
        return Line(name=self.about.name, points=points, smooth=1 if dots else smooth, dots=dots)

    def last(self, metric: str) -> float | None:
        """The newest value it recorded."""
        return next((row[metric] for row in reversed(self.rows) if metric in row), None)


def save(comparison: Path, about: About, rows: Sequence[Row]) -> None:
    """Write an imported run; one of the same name is replaced."""
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", about.name).strip("-.")
    if not slug:
        raise UserError(f"name={about.name!r} holds no letter or digit, so no folder can be named")
    folder = comparison / FOLDER / slug
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    files.write_bytes(folder / "metrics.jsonl", lines.encode("ascii"))
    files.write_json(folder / "import.json", about._asdict())


def read(comparison: Path) -> tuple[Imported, ...]:
    """All of them, by name."""
    return tuple(_read(path.parent) for path in sorted((comparison / FOLDER).glob("*/import.json")))


def _read(folder: Path) -> Imported:
    try:
        about = About(**json.loads((folder / "import.json").read_text("utf-8")))
        lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
        rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise UserError(f"{folder} is not as import writes it: {error!r}; delete it") from error
    return Imported(folder, about, tuple(rows))
