"""Dice problems: the sum of two dice, of three dice, or of the yellow dice among four."""

import math

import numpy as np

from mssr_rl.envs.families.canvas import BLACK, WHITE, Canvas, Point, Rgb, sample_look
from mssr_rl.envs.families.scene import (
    DrawnProblem,
    between,
    hunch,
    listed,
    parts,
    pick,
    running_sum,
)

YELLOW: Rgb = (255, 205, 40)
CENTRES: tuple[tuple[Point, ...], ...] = (
    ((26.5, 48), (69.5, 48)),
    ((26.5, 26), (69.5, 26), (48, 70)),
    ((26.5, 26.5), (69.5, 26.5), (26.5, 69.5), (69.5, 69.5)),
)
SIDE = 36.0
_DIAGONAL: tuple[Point, ...] = ((-1, -1), (1, 1))
_CORNERS: tuple[Point, ...] = (*_DIAGONAL, (1, -1), (-1, 1))
PIPS: tuple[tuple[Point, ...], ...] = (
    ((0, 0),),
    _DIAGONAL,
    (*_DIAGONAL, (0, 0)),
    _CORNERS,
    (*_CORNERS, (0, 0)),
    (*_CORNERS, (-1, 0), (1, 0)),
)


def draw(rng: np.random.Generator, level: int, _split: str) -> DrawnProblem:
    """Return a problem of this family. The total is drawn first, uniformly over possible totals."""
    centres = CENTRES[level]
    count = pick(rng, (1, 2, 2, 3, 3)) if level == 2 else len(centres)
    total = between(rng, count, 6 * count)
    shown = parts(rng, total, count, (1, 6))
    places = sorted(int(i) for i in rng.permutation(len(centres))[:count])
    values = [between(rng, 1, 6) for _ in centres]
    for place, value in zip(places, shown, strict=True):
        values[place] = value
    canvas = Canvas(sample_look(rng))
    for place, (centre, value) in enumerate(zip(centres, values, strict=True)):
        turn = math.radians(float(rng.uniform(-6, 6))) if level else 0.0
        _die(canvas, centre, value, (turn, YELLOW if level == 2 and place in places else WHITE))
    which = "yellow dice" if level == 2 else "dice"
    steps = f"The {which} show {listed(shown)}. {running_sum(shown)}"
    question = f"What is the {'total' if level == 2 else 'sum of the dots'} on the {which}?"
    colours = ("yellow" if level == 2 and i in places else "white" for i in range(len(values)))
    dice = ", ".join(f"{colour} {value}" for colour, value in zip(colours, values, strict=True))
    words = f"The dice are {dice}."
    return DrawnProblem(canvas.finish(), question, str(total), steps, hunch(rng, total), words)


def _die(canvas: Canvas, centre: Point, value: int, style: tuple[float, Rgb]) -> None:
    turn, colour = style
    cos, sin = math.cos(turn), math.sin(turn)

    def at(x: float, y: float) -> Point:
        return (centre[0] + x * cos - y * sin, centre[1] + x * sin + y * cos)

    half = SIDE / 2
    canvas.polygon([at(-half, -half), at(half, -half), at(half, half), at(-half, half)], colour, 2)
    for x, y in PIPS[value - 1]:
        canvas.disc(at(x * SIDE * 0.28, y * SIDE * 0.28), 4.2, BLACK)
