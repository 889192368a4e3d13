"""Points on a coordinate grid: the coordinates of one point, or the distance of two points."""

import functools

import numpy as np

from mssr_rl.envs.families.axes import REACH, Axes
from mssr_rl.envs.families.canvas import COLOURS, Canvas, sample_look
from mssr_rl.envs.families.scene import DrawnProblem, between, hunch, pick

Pair = tuple[int, int]
LOW = (0, -REACH, -REACH)
HIGH = (5, REACH, REACH)
FARTHEST = 12


def draw(rng: np.random.Generator, level: int, _split: str) -> DrawnProblem:
    """Return a problem: a point in one quadrant at level 0, in four quadrants at level 1.

    At level 2 the answer is the number of unit steps between two points.
    """
    low, high = LOW[level], HIGH[level]
    canvas = Canvas(sample_look(rng))
    axes = Axes(canvas, low, high)
    if level == 2:
        return _distance(rng, canvas, axes)
    x, y = between(rng, low, high), between(rng, low, high)
    canvas.disc(axes.at(x, y), 5, COLOURS["red"])
    answer = f"({x}, {y})"
    steps = f"{_sideways(x)} {abs(x)}, {_upright(y)} {abs(y)}. {answer}."
    question = "Give the coordinates of the red point as (x, y)."
    place = f"{abs(x)} to the {_sideways(x).lower()} and {abs(y)} {_upright(y)}"
    words = f"The red point is {place} from the origin."
    return DrawnProblem(canvas.finish(), question, answer, steps, hunch(rng, answer), words)


def _distance(rng: np.random.Generator, canvas: Canvas, axes: Axes) -> DrawnProblem:
    red, blue = pick(rng, _pairs_by_distance()[between(rng, 1, FARTHEST)])
    canvas.disc(axes.at(*red), 5, COLOURS["red"])
    canvas.disc(axes.at(*blue), 5, COLOURS["blue"])
    across, along = abs(red[0] - blue[0]), abs(red[1] - blue[1])
    points = f"Red ({red[0]}, {red[1]}). Blue ({blue[0]}, {blue[1]})."
    steps = f"{points} Across {across}, along {along}. {across} + {along} = {across + along}."
    question = "How many unit steps along the grid lines separate the red and the blue point?"
    value = across + along
    words = f"The red point is at {red}. The blue point is at {blue}."
    return DrawnProblem(canvas.finish(), question, str(value), steps, hunch(rng, value), words)


@functools.cache
def _pairs_by_distance() -> dict[int, list[tuple[Pair, Pair]]]:
    """Return {distance: pairs of points}, so that the distance can be drawn uniformly.

    The distance is the number of unit steps along the grid lines.
    """
    line = range(-REACH, REACH + 1)
    points = [(x, y) for x in line for y in line]
    pairs: dict[int, list[tuple[Pair, Pair]]] = {}
    for a in points:
        for b in points:
            pairs.setdefault(abs(a[0] - b[0]) + abs(a[1] - b[1]), []).append((a, b))
    return pairs


def _sideways(x: int) -> str:
    return "Left" if x < 0 else "Right"


def _upright(y: int) -> str:
    return "down" if y < 0 else "up"
