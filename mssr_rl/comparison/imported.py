"""The runs of other trainers in a comparison's folder.

They have curves, but get no verdict, because they have no results per problem.

imported/<name>/
    import.json      name, format, source file, and the mapping of metric names
    metrics.jsonl    {"step", our metrics}
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import files, untrusted
from mssr_rl.errors import UserError
from mssr_rl.metric_names import VALIDATION_ACCURACY
from mssr_rl.report.curves import ChartLine, Point
from mssr_rl.report.runfiles import Row
from mssr_rl.run_streams import any_rows, stream_path

FOLDER = "imported"
FILES = ("import.json", "metrics.jsonl")
LONGEST_NAME = 60


class About(NamedTuple):
    """The content of import.json."""

    name: str
    format: str  # a description of the format
    file: str  # name of the original file
    sha256: str
    rollouts_per_step: int
    source: Mapping[str, str]  # our metric -> their name


class Imported(NamedTuple):
    """One imported run: its folder, its description and its metrics."""

    folder: Path
    about: About
    rows: tuple[Row, ...]

    def line(self, metric: str, smooth: int) -> ChartLine:
        """Return the curve of a metric over rollouts; without points if it was not recorded."""
        points = tuple(
            Point(row["step"] * self.about.rollouts_per_step, row[metric], row["step"])
            for row in self.rows
            if metric in row
        )
        dots = metric == VALIDATION_ACCURACY
        return ChartLine(
            name=self.about.name, points=points, smooth=1 if dots else smooth, dots=dots
        )

    def last(self, metric: str) -> float | None:
        """Return the last recorded value of a metric; None if it was not recorded."""
        return next((row[metric] for row in reversed(self.rows) if metric in row), None)


def place(comparison: Path, name: str, arms: Sequence[str]) -> Path:
    """Return the folder of an imported run with this name; `arms` are the names of the arms.

    Raises:
        UserError: the name has no letter or digit, is too long, or is the name of an arm.
            Or another imported run has the same folder.
    """
    slug = re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")
    if not slug or len(name) > LONGEST_NAME:
        raise UserError(
            f"name={name[:LONGEST_NAME]!r} must hold a letter or a digit, and at most "
            f"{LONGEST_NAME} characters"
        )
    folder = comparison / FOLDER / slug
    other = _read(folder).about.name if (folder / "import.json").exists() else name
    if name in arms or other != name:
        taken = f"the imported run {other!r}" if other != name else "an arm of the comparison"
        raise UserError(f"name={name!r} is too similar to {taken}; choose another")
    return folder


def save(folder: Path, about: About, rows: Sequence[Row]) -> None:
    """Write an imported run to its folder, and replace an earlier one with the same name."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    files.write_bytes(stream_path(folder, "metrics"), lines.encode("ascii"))
    files.write_json(folder / "import.json", about._asdict())


def read_imported(comparison: Path) -> tuple[Imported, ...]:
    """Return all imported runs of a comparison, sorted by folder."""
    return tuple(_read(path.parent) for path in sorted((comparison / FOLDER).glob("*/import.json")))


def _read(folder: Path) -> Imported:
    try:
        about = About(**untrusted.read_object(folder / "import.json", within=folder))
        rows = [_row(row) for row in any_rows(folder, "metrics")]
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise UserError(f"{folder} is not as import writes it: {error!r}; delete it") from error
    return Imported(folder, about, tuple(rows))


def _row(row: dict[str, Any] | None) -> dict[str, Any]:
    """Return a row of metrics.jsonl.

    Raise `ValueError` if the row has no step, or a value that is not a number.
    """
    if row is None or "step" not in row or set(map(type, row.values())) - {int, float}:
        raise ValueError("metrics.jsonl has a line that is not a step with numbers")
    return row
