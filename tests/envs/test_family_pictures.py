"""The pictures read back by other means than they were drawn with: they must show their answers."""

import re
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from mssr_rl.envs.families import FAMILIES, LEVELS, DrawnProblem, digits, make
from mssr_rl.envs.families.canvas import COLOURS
from mssr_rl.envs.families.func import equation

Mask = NDArray[np.bool_]


def pixels(problem: DrawnProblem) -> NDArray[np.int64]:
    return np.asarray(problem.image).astype(np.int64)


def where(problem: DrawnProblem, colour: str) -> Mask:
    """Pixels close to a colour of the palette."""
    near: Mask = np.abs(pixels(problem) - np.array(COLOURS[colour])).sum(2) < 90
    return near


def blobs(mask: Mask, sizes: range) -> int:
    """How many connected patches have a size in the range (pixels)."""
    labels, _ = ndimage.label(mask)
    return sum(int(size) in sizes for size in np.bincount(labels.ravel())[1:])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_cut_off_at_the_frame(family: str, level: int) -> None:
    for index in range(40):
        frame = pixels(make(family, "val", level, index))
        edge = np.concatenate([frame[0], frame[-1], frame[:, 0], frame[:, -1]])
        assert np.abs(edge - np.median(edge, 0)).max() <= 40, (family, level, index)


@pytest.mark.parametrize("level", [0, 1])
def test_the_answer_is_the_number_of_shapes_of_the_colour(level: int) -> None:
    for index in range(60):
        problem = make("count", "train", level, index)
        colour = problem.question.split()[2]
        assert blobs(where(problem, colour), range(60, 2000)) == int(problem.answer)


@pytest.mark.parametrize("level", [0, 1])
def test_the_answer_is_the_number_of_pips_on_the_dice(level: int) -> None:
    for index in range(60):
        problem = make("dice", "train", level, index)
        dark: Mask = pixels(problem).max(2) < 110
        assert blobs(dark, range(20, 75)) == int(problem.answer)


@pytest.mark.parametrize("level", LEVELS)
def test_the_shaded_share_of_the_rectangle_is_the_fraction(level: int) -> None:
    for index in range(40):
        problem = make("frac", "train", level, index)
        match = re.fullmatch(r"\\frac\{(\d+)\}\{(\d+)\}", problem.answer)
        if match is None:
            continue
        top, bottom = (int(number) for number in match.groups())
        assert Fraction(top, bottom).numerator == top
        shaded = max(where(problem, c).sum() for c in ("blue", "green", "purple"))
        white = (pixels(problem)[4:-4, 4:-4].min(2) > 252).sum()
        tinted = pixels(problem)[0, 0].min() <= 252
        if tinted:
            assert shaded / (shaded + white) == pytest.approx(top / bottom, abs=0.03)


def test_the_red_point_lies_where_its_coordinates_say() -> None:
    """The look moves a point by 2 pixels, 6 % and 1.5 degrees at most: under 6 pixels."""
    for index in range(60):
        problem = make("grid", "train", 1, index)
        x, y = (int(number) for number in re.findall(r"-?\d+", problem.answer))
        row, column = (float(c) for c in ndimage.center_of_mass(where(problem, "red")))
        assert abs(column + 0.5 - (48 + 9.5 * x)) < 6
        assert abs(row + 0.5 - (48 - 9.5 * y)) < 6


def test_the_arrow_stands_over_the_value() -> None:
    for index in range(60):
        problem = make("numline", "train", 2, index)
        _, column = (float(c) for c in ndimage.center_of_mass(where(problem, "red")))
        assert abs(column + 0.5 - (14 + 0.67 * int(problem.answer))) < 5


def test_the_long_hand_points_to_the_minutes() -> None:
    for index in range(60):
        problem = make("clock", "train", 2, index)
        row, column = (float(c) for c in ndimage.center_of_mass(where(problem, "red")))
        minute = 30 * np.arctan2(column + 0.5 - 48, 48 - row - 0.5) / np.pi
        off = (minute - int(problem.answer.split(":")[1]) + 30) % 60 - 30
        assert abs(off) < 5


@pytest.mark.parametrize("split", digits.SAMPLES)
def test_digits_come_from_the_samples_of_their_split(
    split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing changes when the ink of all other samples is wiped away."""
    cells = [(level, index) for level in LEVELS for index in range(20)]
    before = [make("digits", split, *cell).image.tobytes() for cell in cells]
    data = digits.load()
    first, end = digits.SAMPLES[split]
    only = np.zeros_like(data.ink_NHW)
    only[first:end] = data.ink_NHW[first:end]
    monkeypatch.setattr(digits, "load", lambda: digits.Digits(only, data.value_N))
    assert [make("digits", split, *cell).image.tobytes() for cell in cells] == before


def test_the_samples_of_the_splits_cover_all_digits_and_do_not_meet() -> None:
    assert list(digits.SAMPLES.values()) == [(0, 1297), (1297, 1497), (1497, 1797)]
    values = digits.load().value_N
    for split in digits.SAMPLES:
        for digit in range(10):
            assert (values[digits.samples(split, digit)] == digit).all()
            assert len(digits.samples(split, digit)) >= 15


def test_a_digit_expression_is_computed_from_the_digits_it_names() -> None:
    for index in range(60):
        problem = make("digits", "train", 2, index)
        named = re.match(r"The digits are (\d) and (\d)\. (\d) [+x-] (\d) = ", problem.steps)
        assert named, problem.steps
        assert named.groups()[:2] == named.groups()[2:]


@pytest.mark.parametrize(
    ("slope", "intercept", "text"),
    [(2, -1, "y = 2x - 1"), (1, 3, "y = x + 3"), (-1, 0, "y = -x"), (-2, 4, "y = -2x + 4")],
)
def test_an_equation_is_written_in_its_usual_form(slope: int, intercept: int, text: str) -> None:
    assert equation(slope, intercept) == text


def test_angles_of_a_triangle_add_up_and_none_is_tiny() -> None:
    for level in LEVELS:
        for index in range(60):
            problem = make("triangle", "train", level, index)
            a, b = (int(n) for n in re.findall(r"\d+", problem.steps)[:2])
            assert a + b + int(problem.answer) == 180
            assert min(a, b, int(problem.answer)) >= 20
