"""The type of a family's generated problem, and small helpers that the ten families share.

`words` describes the picture for the text twin of a problem (`env.scene=words`). It states what a
reader of the picture sees, such as hands, dots and points, and it draws no random numbers.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image

T = TypeVar("T")

_HUNCHES = ("It looks like {}.", "Probably {}.")


class DrawnProblem(NamedTuple):
    """One problem: picture, question, answer, and two texts for the think block."""

    image: Image.Image  # RGB, 96 x 96
    question: str
    answer: str
    steps: str  # careful: all values read from the picture, then one operation at a time
    hunch: str  # hasty: only the answer
    words: str  # what the picture shows, in words; no number that must be computed


def pick(rng: np.random.Generator, options: Sequence[T]) -> T:
    """Return one of the options, each with the same probability.

    Unlike `rng.choice`, it keeps Python types.
    """
    return options[int(rng.integers(len(options)))]


def between(rng: np.random.Generator, low: int, high: int) -> int:
    """Return a random whole number from low to high, both included."""
    return int(rng.integers(low, high + 1))


def hunch(rng: np.random.Generator, answer: str | int) -> str:
    """Return a short sentence that states the answer without any working."""
    return pick(rng, _HUNCHES).format(answer)


def running_sum(numbers: Sequence[int]) -> str:
    """Return the steps of a sum as text: "2 + 0 = 2. 2 + 1 = 3." for [2, 0, 1].

    For one number, 2, it is "2.".
    """
    if len(numbers) == 1:
        return f"{numbers[0]}."
    total, sentences = numbers[0], []
    for number in numbers[1:]:
        sentences.append(f"{total} + {number} = {total + number}.")
        total += number
    return " ".join(sentences)


def listed(numbers: Sequence[int]) -> str:
    """Return numbers as text with commas: "2, 0, 1" for [2, 0, 1]."""
    return ", ".join(str(number) for number in numbers)


def in_rows(cells: Sequence[str], columns: int) -> str:
    """Return cells in words, row by row: "Row 1: a, b. Row 2: c, d." for two columns."""
    starts = range(0, len(cells), columns)
    rows = (", ".join(cells[start : start + columns]) for start in starts)
    return " ".join(f"Row {number}: {row}." for number, row in enumerate(rows, 1))


def parts(rng: np.random.Generator, total: int, count: int, bounds: tuple[int, int]) -> list[int]:
    """Return `count` random numbers within the bounds that add up to `total`, in random order."""
    low, high = bounds
    numbers: list[int] = []
    for left in range(count - 1, -1, -1):
        rest = total - sum(numbers)
        number = between(rng, max(low, rest - left * high), min(high, rest - left * low))
        numbers.append(number)
    return [numbers[int(i)] for i in rng.permutation(count)]


def per_row(marked: Sequence[bool], columns: int) -> list[int]:
    """Return the number of marked cells in each row, from the top row down."""
    return [sum(marked[start : start + columns]) for start in range(0, len(marked), columns)]
