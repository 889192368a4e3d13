"""Real handwritten digits (scikit-learn's `load_digits`): read one digit, or compute with two.

The splits have no sample in common. The last 300 samples come from other writers, so the test split
is harder.
"""

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mssr_rl.envs.families.canvas import Canvas, Point, sample_look
from mssr_rl.envs.families.scene import DrawnProblem, between, hunch, pick

SAMPLES = {"train": (0, 1297), "val": (1297, 1497), "test": (1497, 1797)}


class Digits(NamedTuple):
    """The pictures of N handwritten digits, 8 x 8 pixels each, and their values."""

    ink_NHW: NDArray[np.uint8]
    value_N: NDArray[np.int64]


@functools.cache
def load() -> Digits:
    """Return all digits. They are loaded at the first call.

    Importing scikit-learn takes most of a second.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    return Digits((data.images * (255 / 16)).astype(np.uint8), data.target.astype(np.int64))


@functools.cache
def samples(split: str, digit: int) -> NDArray[np.int64]:
    """Return the indices of a split's samples that show one digit."""
    first, end = SAMPLES[split]
    return np.flatnonzero(load().value_N[first:end] == digit) + first


def draw(rng: np.random.Generator, level: int, split: str) -> DrawnProblem:
    """Return a problem: one large digit at level 0, a sum at level 1, any operation at level 2.

    The operations are a sum, a difference and a product.
    """
    canvas = Canvas(sample_look(rng))
    if level == 0:
        digit = between(rng, 0, 9)
        canvas.stamp(_ink(rng, split, digit), (9, 8), (78, 80))
        steps = f"The digit is {digit}."
        question = "Which digit is shown?"
        words = f"The picture shows a {digit}."
        return DrawnProblem(canvas.finish(), question, str(digit), steps, hunch(rng, digit), words)
    sign = "+" if level == 1 else pick(rng, "+-x")
    left, right = between(rng, 0, 9), between(rng, 0, 9)
    if sign == "-" and left < right:
        left, right = right, left
    canvas.stamp(_ink(rng, split, left), (3, 22), (41, 52))
    canvas.stamp(_ink(rng, split, right), (52, 22), (41, 52))
    _sign(canvas, sign, (48, 48))
    value = {"+": left + right, "-": left - right, "x": left * right}[sign]
    steps = f"The digits are {left} and {right}. {left} {sign} {right} = {value}."
    question = "Compute the value of the handwritten expression."
    words = f"The expression is {left} {sign} {right}."
    return DrawnProblem(canvas.finish(), question, str(value), steps, hunch(rng, value), words)


def _ink(rng: np.random.Generator, split: str, digit: int) -> Image.Image:
    return Image.fromarray(load().ink_NHW[pick(rng, samples(split, digit).tolist())])


def _sign(canvas: Canvas, sign: str, centre: Point) -> None:
    """Draw an operation sign with lines, because the embedded font has no multiplication sign."""
    x, y = centre
    r = 5.0 if sign == "x" else 6.5
    if sign == "x":
        canvas.line([(x - r, y - r), (x + r, y + r)], width=3)
        canvas.line([(x - r, y + r), (x + r, y - r)], width=3)
        return
    canvas.line([(x - r, y), (x + r, y)], width=3)
    if sign == "+":
        canvas.line([(x, y - r), (x, y + r)], width=3)
