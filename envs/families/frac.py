"""A partly shaded rectangle: its fraction in lowest terms, or the number of white squares."""

import functools
from fractions import Fraction

import numpy as np

from mssr_rl.envs.families.canvas import COLOURS, SIZE, WHITE, Canvas, sample_look
from mssr_rl.envs.families.scene import (
    DrawnProblem,
    hunch,
    in_rows,
    listed,
    per_row,
    pick,
    running_sum,
)

Grid = tuple[int, int]  # rows, columns
GRIDS: tuple[tuple[Grid, ...], ...] = (
    ((2, 3), (3, 2)),
    ((2, 2), (2, 3), (3, 2), (3, 3)),
    ((2, 3), (2, 4), (3, 3), (3, 4)),
)


def draw(rng: np.random.Generator, level: int, _split: str) -> DrawnProblem:
    """Return a problem of this family: a fraction, or in a quarter of all cases white squares.

    The fraction is drawn first, uniformly, and then a grid that can show it.
    """
    if rng.random() < 0.25:
        return _white_squares(rng, level)
    fraction = pick(rng, list(_by_fraction(level)))
    (rows, columns), count = pick(rng, _by_fraction(level)[fraction])
    shaded = _scatter(rng, rows * columns, count)
    by_row = per_row(shaded, columns)
    steps = f"Rows: {listed(by_row)}. {running_sum(by_row)} Shaded {count} of {rows * columns}."
    fraction_text = f"{fraction.numerator} of {fraction.denominator}"
    if fraction.numerator < count:
        steps += f" Divide by {count // fraction.numerator}: {fraction_text}."
    answer = rf"\frac{{{fraction.numerator}}}{{{fraction.denominator}}}"
    question = "What fraction of the rectangle is shaded? Give it in lowest terms."
    canvas = _rectangle(rng, shaded, (rows, columns))
    return DrawnProblem(
        canvas.finish(), question, answer, steps, hunch(rng, fraction_text), _words(shaded, columns)
    )


def _white_squares(rng: np.random.Generator, level: int) -> DrawnProblem:
    """Return a problem about white squares.

    Their number is drawn first, uniformly, and then a grid that is large enough.
    """
    largest = max(rows * columns for rows, columns in GRIDS[level])
    count = pick(rng, range(1, largest))
    rows, columns = pick(rng, [grid for grid in GRIDS[level] if grid[0] * grid[1] > count])
    white = _scatter(rng, rows * columns, count)
    shaded = [not cell for cell in white]
    canvas = _rectangle(rng, shaded, (rows, columns))
    by_row = per_row(white, columns)
    steps = f"Rows not shaded: {listed(by_row)}. {running_sum(by_row)}"
    question = "How many squares are not shaded?"
    words = _words(shaded, columns)
    return DrawnProblem(canvas.finish(), question, str(count), steps, hunch(rng, count), words)


def _words(shaded: list[bool], columns: int) -> str:
    return in_rows(["shaded" if cell else "white" for cell in shaded], columns)


@functools.cache
def _by_fraction(level: int) -> dict[Fraction, list[tuple[Grid, int]]]:
    """Return {fraction: [(grid, number of shaded cells)]} for all fractions of a level's grids."""
    ways: dict[Fraction, list[tuple[Grid, int]]] = {}
    for rows, columns in GRIDS[level]:
        for count in range(1, rows * columns):
            fraction = Fraction(count, rows * columns)
            ways.setdefault(fraction, []).append(((rows, columns), count))
    return ways


def _scatter(rng: np.random.Generator, cells: int, count: int) -> list[bool]:
    marked = {int(i) for i in rng.permutation(cells)[:count]}
    return [cell in marked for cell in range(cells)]


def _rectangle(rng: np.random.Generator, shaded: list[bool], grid: Grid) -> Canvas:
    rows, columns = grid
    canvas = Canvas(sample_look(rng))
    side = 84 / max(rows, columns)
    x0, y0 = (SIZE - side * columns) / 2, (SIZE - side * rows) / 2
    colour = COLOURS[pick(rng, ("blue", "green", "purple"))]
    for cell, on in enumerate(shaded):
        x, y = x0 + side * (cell % columns), y0 + side * (cell // columns)
        canvas.box((x, y), (x + side, y + side), colour if on else WHITE, 2)
    return canvas
