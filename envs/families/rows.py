"""Generated problems as rows. Any row can be made alone, in any process.

The splits have no random numbers in common. Rows have the columns of Vision-R1-RL (problem, images,
answer) and a few more.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from mssr_rl.envs.families import (
    bar,
    clock,
    count,
    dice,
    digits,
    frac,
    func,
    grid,
    numline,
    triangle,
)
from mssr_rl.envs.families.scene import DrawnProblem
from mssr_rl.errors import UserError

Draw = Callable[[np.random.Generator, int, str], DrawnProblem]

FAMILIES: dict[str, Draw] = {
    "count": count.draw,
    "digits": digits.draw,
    "bar": bar.draw,
    "clock": clock.draw,
    "triangle": triangle.draw,
    "numline": numline.draw,
    "grid": grid.draw,
    "func": func.draw,
    "dice": dice.draw,
    "frac": frac.draw,
}

LEVELS = (0, 1, 2)
SPLITS = ("train", "val", "test")


def make(family: str, split: str, level: int, index: int) -> DrawnProblem:
    """Return one problem. Its picture and its text depend on these four arguments only."""
    _check(family, split, level)
    name = f"{family}/{split}/{level}/{index}"
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    rng = np.random.default_rng(int.from_bytes(digest, "little"))
    return FAMILIES[family](rng, level, split)


def row(family: str, split: str, level: int, index: int) -> dict[str, Any]:
    """Return the problem of `make` in the columns of a data set, with its picture as PNG."""
    drawn = make(family, split, level, index)
    png = io.BytesIO()
    drawn.image.save(png, "PNG")
    return {
        "problem": "<image>" + drawn.question,
        "images": [{"bytes": png.getvalue(), "path": None}],
        "answer": drawn.answer,
        "id": f"{family}-{level}-{split}-{index}",
        "family": family,
        "level": level,
        "steps": drawn.steps,
        "hunch": drawn.hunch,
        "words": drawn.words,
    }


def mini_rows(
    split: str,
    count: int,
    families: Sequence[str] = tuple(FAMILIES),
    levels: Sequence[int] = LEVELS,
) -> Iterator[dict[str, Any]]:
    """Yield the first `count` rows of a split. Families take turns, and so do levels.

    Each group of thirty rows has every family at every level once; with fewer families or levels
    the groups are smaller. A shorter list is the beginning of a longer one.
    """
    for position in range(count):
        index, cell = divmod(position, len(families) * len(levels))
        lap, family = divmod(cell, len(families))
        yield row(families[family], split, levels[(family + lap) % len(levels)], index)


def _check(family: str, split: str, level: int) -> None:
    known: tuple[tuple[str, object, tuple[object, ...]], ...] = (
        ("family", family, tuple(FAMILIES)),
        ("split", split, SPLITS),
        ("level", level, LEVELS),
    )
    for what, value, allowed in known:
        if value not in allowed:
            choices = ", ".join(str(choice) for choice in allowed)
            raise UserError(f"There is no {what} {value!r} of generated problems: use {choices}.")
