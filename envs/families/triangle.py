"""The third angle of a triangle drawn to scale: multiples of ten, of five, then any degree."""

import math

import numpy as np

from mssr_rl.envs.families.canvas import SIZE, Canvas, Point, sample_look
from mssr_rl.envs.families.scene import DrawnProblem, between, hunch, pick

STEP = (10, 5, 1)
SMALLEST, LARGEST = 20, 120
PAINT = (205, 225, 255)


def draw(rng: np.random.Generator, level: int, _split: str) -> DrawnProblem:
    """Return a problem of this family. The wanted angle is drawn first, uniformly.

    At level 0 it is always the angle at the top.
    """
    step = STEP[level]
    x = between(rng, SMALLEST // step, LARGEST // step) * step
    low = max(SMALLEST, 180 - x - LARGEST)
    a = between(rng, low // step, (180 - x - low) // step) * step
    b = 180 - x - a
    shown = [(a, f"{a}\N{DEGREE SIGN}"), (b, f"{b}\N{DEGREE SIGN}")]
    shown.insert(2 if level == 0 else between(rng, 0, 2), (x, "x"))
    canvas = Canvas(sample_look(rng))
    flipped = level == 2 and pick(rng, (True, False))
    _triangle(canvas, [degrees for degrees, _ in shown], [text for _, text in shown], flipped)
    steps = f"The angles are {a} and {b}. {a} + {b} = {a + b}. 180 - {a + b} = {x}."
    question = "Find the angle x of the triangle in degrees."
    words = f"The angles of the triangle are {', '.join(label for _, label in shown)}."
    return DrawnProblem(canvas.finish(), question, str(x), steps, hunch(rng, x), words)


def _triangle(canvas: Canvas, angles: list[int], labels: list[str], flipped: bool) -> None:
    """Draw a triangle with its angles at left, right and top, and the labels outside of it."""
    left, right, top = _corners(angles[0], angles[1])
    gap = max(0.0, 42 - (right[0] - left[0])) / 2
    places = [
        (left[0] - gap, left[1] + 10),
        (right[0] + gap, right[1] + 10),
        (top[0], top[1] - 10),
    ]
    corners = [left, right, top]
    if flipped:
        corners, places = [[(x, SIZE - y) for x, y in points] for points in (corners, places)]
    canvas.polygon(corners, PAINT, 2)
    for (x, y), text in zip(places, labels, strict=True):
        canvas.label((min(max(x, 20), SIZE - 20), y), text, 17)


def _corners(a: int, b: int) -> tuple[Point, Point, Point]:
    """Return the corners of a triangle with base angles a and b, as large as the labels allow.

    The order is left, right, top [pixels].
    """
    left, right = math.radians(a), math.radians(b)
    side = math.sin(right) / math.sin(left + right)  # from left corner to top, base 1
    x, y = side * math.cos(left), side * math.sin(left)
    low, high = min(0.0, x), max(1.0, x)
    scale = min(80 / (high - low), 48 / y)
    start = SIZE / 2 - scale * (low + high) / 2
    bottom = SIZE / 2 + scale * y / 2
    return (start, bottom), (start + scale, bottom), (start + scale * x, bottom - scale * y)
