"""Views of a problem: functions that return a problem with less picture information.

The loss term `objective.ViewTerm` compares the policy's probabilities for the problem and for a
view. The functions are pure. Pictures are decoded, changed and encoded again, and the same seed
gives the same picture.
"""

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image

from mssr_rl.options import require
from mssr_rl.problem import Problem
from mssr_rl.prompts import blinded

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


def without_pictures(problem: Problem, seed: int) -> Problem:  # noqa: ARG001  a view takes a seed
    """Return the problem without its pictures and without the picture tags in its text."""
    return blinded(problem)


def masked_patches(problem: Problem, seed: int, *, share: float = 0.6, patch: int = 14) -> Problem:
    """Return the problem with black squares in its pictures, as in PAPO.

    Each square of `patch` x `patch` pixels is black with probability `share`.
    """
    require(0 <= share <= 1, "share", share, "between 0 and 1")
    require(patch >= 1, "patch", patch, "at least 1 pixel")
    rng = np.random.default_rng(seed)

    def change(pixels: Pixels) -> Pixels:
        rows, columns = (-(-size // patch) for size in pixels.shape[:2])
        kept = (rng.random((rows, columns)) >= share).astype(np.uint8)
        mask = np.kron(kept, np.ones((patch, patch), np.uint8))[
            : pixels.shape[0], : pixels.shape[1]
        ]
        return pixels * mask[..., None]

    return _changed(problem, change)


def noisy_pictures(problem: Problem, seed: int, *, deviation: float = 50.0) -> Problem:
    """Return the problem with Gaussian noise on every colour channel of its pictures.

    `deviation` is the noise's standard deviation, in units of 8-bit values, 0 to 255.
    """
    require(deviation >= 0, "deviation", deviation, "at least 0")
    rng = np.random.default_rng(seed)

    def change(pixels: Pixels) -> Pixels:
        noisy = pixels + rng.normal(0, deviation, pixels.shape)
        return noisy.clip(0, 255).round().astype(np.uint8)

    return _changed(problem, change)


def _changed(problem: Problem, change: Callable[[Pixels], Pixels]) -> Problem:
    return replace(problem, images=tuple(_picture(content, change) for content in problem.images))


def _picture(content: bytes, change: Callable[[Pixels], Pixels]) -> bytes:
    with Image.open(io.BytesIO(content)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    out = io.BytesIO()
    Image.fromarray(change(pixels)).save(out, "PNG")
    return out.getvalue()
