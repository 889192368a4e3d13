"""Views of a problem: the same seed gives the same picture, and the question stays."""

import io
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from PIL import Image

from mssr_rl.problem import Problem
from mssr_rl.views import annealed_noise, diffused, masked_patches, noisy_pictures, without_pictures

View = Callable[[Problem, int], Problem]


def picture(width: int = 40, height: int = 30) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(out, "PNG")
    return out.getvalue()


POSED = Problem(key="k", prompt="<image>How many?", answer="3", images=(picture(),))


def pixels(problem: Problem) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(problem.images[0])))


VIEWS = [masked_patches, noisy_pictures, partial(masked_patches, share=1)]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_keeps_the_question_and_the_size_and_follows_its_seed(view: View) -> None:
    one, same, other = view(POSED, 1), view(POSED, 1), view(POSED, 2)
    assert one == same
    assert (one.key, one.prompt, one.answer) == (POSED.key, POSED.prompt, POSED.answer)
    assert pixels(one).shape == (30, 40, 3)
    assert (one.images == other.images) == isinstance(view, partial)
    assert one.images != POSED.images


def test_masked_patches_are_black_squares_and_as_many_as_asked() -> None:
    wide = Problem(key="k", prompt="", answer="", images=(picture(1400, 700),))
    shown = pixels(masked_patches(wide, 3, share=0.6, patch=14)).reshape(50, 14, 100, 14, 3)
    black = (shown == 0).all((1, 3, 4))
    whole = (shown == np.array([200, 100, 50])).all((1, 3, 4))
    assert (black | whole).all()
    assert black.mean() == pytest.approx(0.6, abs=0.03)


def test_noise_has_the_deviation_that_is_asked() -> None:
    wide = Problem(key="k", prompt="", answer="", images=(picture(400, 400),))
    assert pixels(noisy_pictures(wide, 3, deviation=10.0)).std((0, 1)) == pytest.approx(10, abs=0.2)
    assert (pixels(noisy_pictures(wide, 3, deviation=0.0)) == pixels(wide)).all()


def test_a_diffused_picture_loses_its_signal_step_by_step_and_noise_ends_with_the_run() -> None:
    wide = Problem(key="k", prompt="", answer="", images=(picture(200, 200),))
    far = [
        np.abs(pixels(diffused(wide, 1, step=t)) - pixels(wide) * 1.0).mean() for t in (0, 300, 900)
    ]
    assert far[0] < 2 < far[1] < far[2]
    noise = {"noise_step": 500, "decay": (30.0, 0.667)}
    shown = [annealed_noise(wide, 1, done, **noise) for done in (0.0, 1.0)]
    assert shown[0] == diffused(wide, 1, step=499)
    assert shown[1] == diffused(wide, 1, step=0)


def test_without_pictures_only_words_are_left() -> None:
    blind = without_pictures(POSED, 1)
    assert blind.images == ()
    assert blind.prompt == "How many?"
    assert masked_patches(blind, 1) == blind
