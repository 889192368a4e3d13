"""Count shapes of one colour (levels 0 and 1), or of one colour and one kind (level 2)."""

from typing import NamedTuple

import numpy as np

from mssr_rl.envs.families.canvas import COLOURS, SIZE, Canvas, Point, sample_look
from mssr_rl.envs.families.scene import (
    DrawnProblem,
    between,
    hunch,
    in_rows,
    listed,
    per_row,
    pick,
    running_sum,
)

KINDS = ("circle", "square", "triangle")


class Thing(NamedTuple):
    """A shape in a cell, or the shape to count, whose kind may be "shape" for any kind."""

    colour: str
    kind: str


class CountLevel(NamedTuple):
    """The size of the lattice, and the fewest and the most shapes to count."""

    side: int  # the things sit in a side x side lattice
    colours: tuple[str, ...]
    fewest: int
    most: int


LEVELS = (
    CountLevel(3, ("red", "blue"), 1, 6),
    CountLevel(3, ("red", "blue", "green"), 0, 8),
    CountLevel(4, ("red", "blue", "green"), 0, 8),
)


def draw(rng: np.random.Generator, level: int, _split: str) -> DrawnProblem:
    """Return a problem of this family. The count is drawn first, uniformly.

    So no constant answer gets many rewards.
    """
    plan = LEVELS[level]
    wanted = Thing(pick(rng, plan.colours), pick(rng, KINDS) if level == 2 else "shape")
    count = between(rng, plan.fewest, plan.most)
    cells = _cells(rng, plan, wanted, count)
    canvas = Canvas(sample_look(rng))
    pitch = (SIZE - 8) / plan.side
    for cell, thing in enumerate(cells):
        if thing is not None:
            x, y = (4 + pitch * (i + 0.5) for i in (cell % plan.side, cell // plan.side))
            dx, dy = rng.uniform(-0.06, 0.06, 2) * pitch
            _shape(canvas, thing, (x + dx, y + dy), pitch * float(rng.uniform(0.36, 0.42)))
    rows = per_row([thing is not None and _is(thing, wanted) for thing in cells], plan.side)
    question = f"How many {wanted.colour} {wanted.kind}s are there?"
    steps = f"Rows: {listed(rows)}. {running_sum(rows)}"
    named = ["nothing" if thing is None else f"{thing.colour} {thing.kind}" for thing in cells]
    words = in_rows(named, plan.side)
    return DrawnProblem(canvas.finish(), question, str(count), steps, hunch(rng, count), words)


def _is(thing: Thing, wanted: Thing) -> bool:
    return thing.colour == wanted.colour and wanted.kind in ("shape", thing.kind)


def _cells(
    rng: np.random.Generator, plan: CountLevel, wanted: Thing, count: int
) -> list[Thing | None]:
    """Return the shapes to count, one to six other shapes and empty cells, in random order."""
    free = plan.side**2 - count
    others = between(rng, 1, min(free, 6))
    cells: list[Thing | None] = [None] * (free - others)
    kinds = KINDS if wanted.kind == "shape" else (wanted.kind,)
    cells.extend(Thing(wanted.colour, pick(rng, kinds)) for _ in range(count))
    cells.extend(_other(rng, plan, wanted) for _ in range(others))
    return [cells[int(i)] for i in rng.permutation(len(cells))]


def _other(rng: np.random.Generator, plan: CountLevel, wanted: Thing) -> Thing:
    """Return a random shape that must not be counted.

    At level 2 it may have the same colour or the same kind as the shapes to count.
    """
    while True:
        thing = Thing(pick(rng, plan.colours), pick(rng, KINDS))
        if not _is(thing, wanted):
            return thing


def _shape(canvas: Canvas, thing: Thing, centre: Point, r: float) -> None:
    (x, y), colour = centre, COLOURS[thing.colour]
    if thing.kind == "circle":
        canvas.disc(centre, r, colour)
    elif thing.kind == "square":
        canvas.box((x - r * 0.88, y - r * 0.88), (x + r * 0.88, y + r * 0.88), colour)
    else:
        canvas.polygon([(x, y - r), (x - r, y + r * 0.85), (x + r, y + r * 0.85)], colour)
