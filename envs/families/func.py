"""Graphs: a line's y-intercept, its value at x, its equation, or the vertex of a parabola."""

from collections.abc import Callable

import numpy as np

from mssr_rl.envs.families.axes import REACH, Axes
from mssr_rl.envs.families.canvas import COLOURS, Canvas, sample_look
from mssr_rl.envs.families.scene import DrawnProblem, between, hunch, pick

SLOPES = (-2, -1, 1, 2)


def draw(rng: np.random.Generator, level: int, _split: str) -> DrawnProblem:
    """Return a problem: intercept at level 0, value at level 1, equation or vertex at level 2."""
    canvas = Canvas(sample_look(rng))
    axes = Axes(canvas, -REACH, REACH)
    if level == 0:
        return _intercept(rng, canvas, axes)
    if level == 1:
        return _value(rng, canvas, axes)
    return pick(rng, (_equation, _vertex))(rng, canvas, axes)


def _intercept(rng: np.random.Generator, canvas: Canvas, axes: Axes) -> DrawnProblem:
    slope, b = pick(rng, SLOPES), between(rng, -REACH, REACH)
    _line(canvas, axes, slope, b)
    steps = f"The line meets the y-axis at (0, {b}). So {b}."
    question = "What is the y-intercept of the line?"
    words = _line_in_words(slope, b)
    return DrawnProblem(canvas.finish(), question, str(b), steps, hunch(rng, b), words)


def _value(rng: np.random.Generator, canvas: Canvas, axes: Axes) -> DrawnProblem:
    """Return a problem about a line's value at x.

    Value and x are drawn first, and then a slope that leaves enough of the line visible.
    """
    y, x = between(rng, -REACH, REACH), pick(rng, (-4, -3, -2, -1, 1, 2, 3, 4))
    slope = pick(rng, [m for m in SLOPES if _seen(m, y - m * x) >= 2])
    _line(canvas, axes, slope, y - slope * x)
    steps = f"At x = {x} the line is at ({x}, {y}). So {y}."
    question = f"What is the value of the line at x = {x}?"
    words = _line_in_words(slope, y - slope * x)
    return DrawnProblem(canvas.finish(), question, str(y), steps, hunch(rng, y), words)


def _equation(rng: np.random.Generator, canvas: Canvas, axes: Axes) -> DrawnProblem:
    slope, b = pick(rng, SLOPES), between(rng, -REACH, REACH)
    _line(canvas, axes, slope, b)
    left = 0 if abs(b + slope) <= REACH else -1
    low, high = slope * left + b, slope * (left + 1) + b
    points = f"Points ({left}, {low}) and ({left + 1}, {high})."
    answer = equation(slope, b)
    steps = f"{points} Slope {high} - {low} = {slope}. Intercept {b}. {answer}."
    question = "Write the equation of the line as y = mx + b."
    words = _line_in_words(slope, b)
    return DrawnProblem(canvas.finish(), question, answer, steps, hunch(rng, answer), words)


def _vertex(rng: np.random.Generator, canvas: Canvas, axes: Axes) -> DrawnProblem:
    """Return a problem about the vertex of a parabola.

    The parabola opens to the side with more room; near the middle the side is random.
    """
    x, y = between(rng, -3, 3), between(rng, -3, 3)
    opens = pick(rng, (-1, 1)) if abs(y) <= 1 else (-1 if y > 0 else 1)
    curve = [(u, opens * (u - x) ** 2 + y) for u in np.linspace(-REACH, REACH, 81).tolist()]
    seen = [axes.at(u, v) for u, v in curve if abs(v) <= REACH + 0.3]
    canvas.line(seen, COLOURS["purple"], 3)
    end = "lowest" if opens > 0 else "highest"
    answer = f"({x}, {y})"
    steps = f"The {end} point is at x = {x}, y = {y}. {answer}."
    question = "Give the vertex of the parabola as (x, y)."
    words = _points("parabola", lambda u: opens * (u - x) ** 2 + y)
    return DrawnProblem(canvas.finish(), question, answer, steps, hunch(rng, answer), words)


def _line_in_words(slope: int, b: int) -> str:
    return _points("line", lambda x: slope * x + b)


def _points(curve: str, height: Callable[[int], int]) -> str:
    """Return the points of a curve in words: those at the crossings of the grid that it shows."""
    across = range(-REACH, REACH + 1)
    points = [f"({x}, {height(x)})" for x in across if abs(height(x)) <= REACH]
    return f"The {curve} goes through the points {', '.join(points)}."


def equation(slope: int, b: int) -> str:
    """Return the equation of a line as text, such as "y = 2x - 1", "y = -x" or "y = x + 3"."""
    times = {1: "", -1: "-"}.get(slope, str(slope))
    rest = f" {'+' if b > 0 else '-'} {abs(b)}" if b else ""
    return f"y = {times}x{rest}"


def _span(slope: int, b: int) -> tuple[float, float]:
    """Return the first and the last x at which the line is inside the axes."""
    ends = sorted(((-REACH - b) / slope, (REACH - b) / slope))
    return max(-REACH, ends[0]), min(REACH, ends[1])


def _seen(slope: int, b: int) -> float:
    """Return the height of the visible part of the line, which is at least its width."""
    start, end = _span(slope, b)
    return (end - start) * abs(slope)


def _line(canvas: Canvas, axes: Axes, slope: int, b: int) -> None:
    canvas.line([axes.at(x, slope * x + b) for x in _span(slope, b)], COLOURS["blue"], 3)
