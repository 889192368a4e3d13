"""Rows that two data sets share: is what is trained on also what is tested on?

A hit is the same question over the same picture bytes, or a picture that looks the same and, with
it, the same answer or nearly the same words. Looks the same: the 32 x 32 grey thumbnails differ by
little everywhere, so a resized or re-encoded copy is found and a drawing in which one printed digit
differs is not. A picture alone is no hit, and neither is a question alone: templates repeat. Rows
without pictures go by their words and numbers.
"""

import io
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from mssr_rl.check_env.passport import posed
from mssr_rl.data import pictures
from mssr_rl.problem import Problem

SIDE = 32
LARGEST, MEAN = 20, 3.0  # of 255: between the thumbnails of copies
BLUR = 2  # pixels of 96: what resizing moves
_SMOOTH = Image.Resampling.LANCZOS
NEAR_TEXT = 0.6  # shared words of all words


class Hit(NamedTuple):
    """A row of each set and why they count as one."""

    ours: str
    theirs: str
    why: str


class _Seen(NamedTuple):
    problem: Problem
    posed: bytes
    words: frozenset[str]
    numbers: tuple[str, ...]


def overlap(ours: Sequence[Problem], theirs: Sequence[Problem]) -> list[Hit]:
    """The rows of `ours` that occur in `theirs`, each once."""
    others = [_seen(problem) for problem in theirs]
    exact = {seen.posed: seen.problem.key for seen in others}
    thumbs = _thumbnails(theirs)
    hits = []
    for problem, thumb in zip(ours, _thumbnails(ours), strict=True):
        seen = _seen(problem)
        if seen.posed in exact:
            hits.append(Hit(problem.key, exact[seen.posed], "the same question and picture"))
        elif found := _near(seen, thumb, others, thumbs):
            hits.append(found)
    return hits


def _near(
    seen: _Seen, thumb: "np.ndarray | None", others: list[_Seen], thumbs: list["np.ndarray | None"]
) -> Hit | None:
    for other, their_thumb in zip(others, thumbs, strict=True):
        if (thumb is None) != (their_thumb is None):
            continue
        alike = _share(seen.words, other.words)
        if thumb is None or their_thumb is None:
            if alike >= NEAR_TEXT and seen.numbers == other.numbers and seen.numbers:
                return Hit(seen.problem.key, other.problem.key, f"{alike:.0%} of the words")
            continue
        same_answer = seen.problem.answer == other.problem.answer
        near = (same_answer or alike >= NEAR_TEXT) and seen.numbers == other.numbers
        if near and _look_alike(thumb, their_thumb):
            why = f"a picture that looks the same, {alike:.0%} of the words"
            return Hit(seen.problem.key, other.problem.key, why)
    return None


def _look_alike(a: "np.ndarray", b: "np.ndarray") -> bool:
    difference = np.abs(a - b)
    return bool(difference.max() <= LARGEST and difference.mean() <= MEAN)


def _seen(problem: Problem) -> _Seen:
    text = problem.prompt.lower()
    words = frozenset(re.findall(r"[^\W\d_]{2,}", text))
    return _Seen(problem, posed(problem), words, tuple(sorted(re.findall(r"[0-9]+", text))))


def _share(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b) if a or b else 1.0


def _thumbnails(problems: Sequence[Problem]) -> list["np.ndarray | None"]:
    """The first picture of each problem as grey levels; None without one."""
    return [_thumbnail(p.images[0]) if p.images else None for p in problems]


def _thumbnail(content: bytes) -> "np.ndarray":
    pictures.check(content, whole=False)
    grey = Image.open(io.BytesIO(content)).convert("L").resize((3 * SIDE, 3 * SIDE), _SMOOTH)
    blurred = grey.filter(ImageFilter.GaussianBlur(BLUR)).resize((SIDE, SIDE), _SMOOTH)
    return np.asarray(blurred, dtype=np.int16)
