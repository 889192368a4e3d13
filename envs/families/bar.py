"""Bar charts: questions for the value of a bar, or the difference or sum of two bars."""

from typing import NamedTuple

import numpy as np

from mssr_rl.envs.families.canvas import COLOURS, GREY, Canvas, sample_look
from mssr_rl.envs.families.scene import DrawnProblem, between, hunch, parts, pick

LEFT, RIGHT, TOP, BOTTOM = 20, 92, 9, 76


class BarLevel(NamedTuple):
    """The size of the chart and the kinds of questions at one level."""

    bars: int
    highest: int
    numbered: int  # every how many units the axis has a number
    asked: tuple[str, ...]


LEVELS = (
    BarLevel(3, 5, 1, ("value",)),
    BarLevel(4, 8, 2, ("value", "difference")),
    BarLevel(5, 9, 3, ("sum", "difference")),
)


class BarQuestion(NamedTuple):
    """A question, before its bars have a position in the chart."""

    values: list[int]  # the values of the bars in the question
    text: str  # the question, with a slot for the name of each of these bars
    steps: str  # the solution, with the same slots
    answer: int


def draw(rng: np.random.Generator, level: int, _split: str) -> DrawnProblem:
    """Return a problem of this family. The question is drawn first.

    Then its bars get random positions, and the other bars get random values.
    """
    plan = LEVELS[level]
    asked = _ask(rng, plan)
    order = [int(i) for i in rng.permutation(plan.bars)]
    values = [between(rng, 1, plan.highest) for _ in range(plan.bars)]
    for bar, value in zip(order, asked.values, strict=False):
        values[bar] = value
    names = ["ABCDE"[bar] for bar in order]
    image = _chart(rng, plan, values)
    return DrawnProblem(
        image.finish(),
        asked.text.format(*names),
        str(asked.answer),
        asked.steps.format(*names),
        hunch(rng, asked.answer),
        f"The bars are {', '.join(f'{bar} {v}' for bar, v in zip('ABCDE', values, strict=False))}.",
    )


def _ask(rng: np.random.Generator, plan: BarLevel) -> BarQuestion:
    """Return a question. The answer is drawn first, uniformly, and then values that give it."""
    kind = pick(rng, plan.asked)
    if kind == "value":
        a = between(rng, 1, plan.highest)
        return BarQuestion([a], "What is the value of bar {0}?", f"{{0}} is {a}.", a)
    if kind == "difference":
        gap = between(rng, 1, plan.highest - 1)
        b = between(rng, 1, plan.highest - gap)
        a = b + gap
        text = "How much larger is bar {0} than bar {1}?"
        return BarQuestion([a, b], text, f"{{0}} is {a}. {{1}} is {b}. {a} - {b} = {gap}.", gap)
    total = between(rng, 2, 2 * plan.highest)
    a, b = parts(rng, total, 2, (1, plan.highest))
    text = "What is the sum of bars {0} and {1}?"
    return BarQuestion([a, b], text, f"{{0}} is {a}. {{1}} is {b}. {a} + {b} = {total}.", total)


def _chart(rng: np.random.Generator, plan: BarLevel, values: list[int]) -> Canvas:
    canvas = Canvas(sample_look(rng))
    unit, pitch = (BOTTOM - TOP) / plan.highest, (RIGHT - LEFT) / plan.bars
    for value in range(plan.highest + 1):
        y = BOTTOM - unit * value
        canvas.line([(LEFT, y), (RIGHT, y)], GREY, 1)
        if value % plan.numbered == 0:
            canvas.label((LEFT - 4, y), value, 15, anchor="rm")
    palette = list(COLOURS.values())
    first = between(rng, 0, len(palette) - 1)
    for bar, value in enumerate(values):
        x = LEFT + pitch * (bar + 0.5)
        colour = palette[(first + bar) % len(palette)]
        canvas.box((x - pitch * 0.36, BOTTOM - unit * value), (x + pitch * 0.36, BOTTOM), colour)
        canvas.label((x, BOTTOM + 9), "ABCDE"[bar], 16)
    canvas.line([(LEFT, TOP - 2), (LEFT, BOTTOM), (RIGHT, BOTTOM)], width=2)
    return canvas
