"""A number line with an arrow. The answer is the number at the arrow.

Level 0 has whole steps from 0, level 1 whole steps from -5, level 2 tens with half steps.
"""

import numpy as np

from mssr_rl.envs.families.canvas import COLOURS, Canvas, sample_look
from mssr_rl.envs.families.scene import DrawnProblem, between, hunch

LEFT_END = (0, -5, 0)
STEP = (1, 1, 10)
STEPS = 10
LEFT, RIGHT, Y = 14.0, 81.0, 56.0


def draw(rng: np.random.Generator, level: int, _split: str) -> DrawnProblem:
    """Return a problem of this family. All positions of the arrow are equally likely.

    Positions are counted in half steps.
    """
    halves = between(rng, 0, 2 * STEPS) if level == 2 else 2 * between(rng, 0, STEPS)
    start, step = LEFT_END[level], STEP[level]
    value = start + step * halves // 2
    canvas = Canvas(sample_look(rng))
    _line(canvas, start, step)
    _arrow(canvas, LEFT + (RIGHT - LEFT) * halves / (2 * STEPS))
    question = "Which number does the arrow point to?"
    steps, words = _steps(level, halves), _reading(level, halves)
    return DrawnProblem(canvas.finish(), question, str(value), steps, hunch(rng, value), words)


def _reading(level: int, halves: int) -> str:
    whole, half = divmod(halves, 2)
    steps = f"{whole} steps{' and a half' if half else ''}"
    line = f"The left end is {LEFT_END[level]}, the step is {STEP[level]}."
    return f"{line} The arrow is {steps} from the left."


def _steps(level: int, halves: int) -> str:
    start, step = LEFT_END[level], STEP[level]
    whole, half = divmod(halves, 2)
    reading = f"Left end {start}, step {step}. The arrow is {whole} steps"
    if level < 2:
        return f"{reading} from the left. {start} + {whole} = {start + whole}."
    tens = f"{whole} x {step} = {whole * step}."
    if not half:
        return f"{reading} from the left. {tens}"
    more = f"{whole * step} + {step // 2} = {whole * step + step // 2}."
    return f"{reading} and a half from the left. {tens} {more}"


def _line(canvas: Canvas, start: int, step: int) -> None:
    canvas.line([(LEFT - 5, Y), (RIGHT + 5, Y)], width=2)
    for mark in range(STEPS + 1):
        x = LEFT + (RIGHT - LEFT) * mark / STEPS
        numbered = mark % 5 == 0
        reach = 7 if numbered else 4
        canvas.line([(x, Y - reach), (x, Y + reach)], width=2 if numbered else 1.5)
        if numbered:
            canvas.label((x, Y + 18), start + step * mark, 14)


def _arrow(canvas: Canvas, x: float) -> None:
    red = COLOURS["red"]
    canvas.line([(x, Y - 40), (x, Y - 16)], red, 3)
    canvas.polygon([(x, Y - 4), (x - 5, Y - 17), (x + 5, Y - 17)], red)
