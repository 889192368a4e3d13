"""Views of a problem: functions that return a problem with less picture information.

The loss term `objective.ViewTerm` compares the policy's probabilities for the problem and for a
view. The functions are pure. Pictures are decoded, changed and encoded again, and the same seed
gives the same picture.
"""

import io
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
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


def diffused(problem: Problem, seed: int, *, step: int) -> Problem:
    """Return the problem with its pictures after `step` + 1 of 1,000 diffusion steps.

    A pixel x, from 0 to 1, becomes sqrt(a) * x + sqrt(1 - a) * n, with standard normal noise n and
    a = `SIGNAL[step]`, cut to 0 to 1.
    """
    signal, rng = SIGNAL[step], np.random.default_rng(seed)

    def change(pixels: Pixels) -> Pixels:
        noise = rng.standard_normal(pixels.shape)
        noisy = np.sqrt(signal) * pixels / 255 + np.sqrt(1 - signal) * noise
        changed: Pixels = (noisy.clip(0, 1) * 255).astype(np.uint8)
        return changed

    return _changed(problem, change)


def annealed_noise(
    problem: Problem, seed: int, done: float, *, noise_step: int, decay: tuple[float, float]
) -> Problem:
    """Return the problem with diffused pictures; the noise ends in the course of the run.

    `done` is the share of the run that is done, and `decay` the last two inputs of `annealed`.
    """
    return diffused(problem, seed, step=int(noise_step * annealed(done, *decay)))


def annealed(done: float, coef: float, mid: float) -> float:
    """Return 1 - sigmoid(coef * (done - mid)), which falls from about 1 to about 0."""
    return 1 - 1 / (1 + math.exp(-coef * (done - mid)))


def _signal() -> NDArray[np.float64]:
    """Return the share of a picture's variance that is left after each step, shape [1000]."""
    rate = 1e-5 + (5e-3 - 1e-5) / (1 + np.exp(-np.linspace(-6, 6, 1000)))
    return np.cumprod(1 - rate, dtype=np.float64)


# The noise of visual contrastive decoding (arXiv 2311.16922), which NoisyRollout took over.
SIGNAL = _signal()


def _changed(problem: Problem, change: Callable[[Pixels], Pixels]) -> Problem:
    return replace(problem, images=tuple(_picture(content, change) for content in problem.images))


def _picture(content: bytes, change: Callable[[Pixels], Pixels]) -> bytes:
    with Image.open(io.BytesIO(content)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    out = io.BytesIO()
    Image.fromarray(change(pixels)).save(out, "PNG")
    return out.getvalue()
