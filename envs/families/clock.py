"""A clock with two hands that shows half hours, quarters or five minutes."""

import math

import numpy as np

from mssr_rl.envs.families.canvas import COLOURS, SIZE, WHITE, Canvas, Point, sample_look
from mssr_rl.envs.families.scene import DrawnProblem, between, hunch, pick

MINUTES = ((0, 30), (0, 15, 30, 45), tuple(range(0, 60, 5)))
RADIUS = 42.0


def draw(rng: np.random.Generator, level: int, _split: str) -> DrawnProblem:
    """Return a clock problem.

    All twelve hours, and all minutes of the level, are equally likely.
    """
    hour, minute = between(rng, 1, 12), pick(rng, MINUTES[level])
    canvas = Canvas(sample_look(rng))
    _dial(canvas)
    canvas.line([_at(0, 0), _at((hour + minute / 60) / 12, 0.5)], width=6)
    canvas.line([_at(0, 0), _at(minute / 60, 0.84)], COLOURS["red"], 3)
    canvas.disc(_at(0, 0), 4, COLOURS["red"])
    time = f"{hour}:{minute:02d}"
    question = "What time does the clock show? Answer as h:mm."
    steps = _steps(hour, minute)
    return DrawnProblem(
        canvas.finish(), question, time, steps, hunch(rng, time), _hands(hour, minute)
    )


def _steps(hour: int, minute: int) -> str:
    time, mark = f"{hour}:{minute:02d}", minute // 5
    if minute == 0:
        return f"{_hands(hour, minute)} {time}."
    return f"{_hands(hour, minute)} {mark} x 5 = {minute}. {time}."


def _hands(hour: int, minute: int) -> str:
    place = "after" if minute else "at"
    return f"The short hand is {place} {hour}. The long hand is at {minute // 5 or 12}."


def _dial(canvas: Canvas) -> None:
    canvas.disc(_at(0, 0), RADIUS, WHITE, 2)
    for number in range(1, 13):
        turn = number / 12
        if number % 3 == 0:
            canvas.label(_at(turn, 0.77), number, 16)
        else:
            canvas.line([_at(turn, 0.82), _at(turn, 0.97)], width=2)


def _at(turn: float, reach: float) -> Point:
    """Return the point of the dial at `turn` turns clockwise from twelve.

    `reach` is its distance from the centre, as a share of the radius.
    """
    angle = 2 * math.pi * turn
    return (
        SIZE / 2 + RADIUS * reach * math.sin(angle),
        SIZE / 2 - RADIUS * reach * math.cos(angle),
    )
