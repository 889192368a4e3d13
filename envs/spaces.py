"""Two Gymnasium spaces that Gymnasium does not have: any text, and pictures of any size.

Gymnasium's own `Text` refuses blanks, backslashes and the empty string by default. Its `Box` has
one fixed shape.
"""

import base64
import io
from collections.abc import Iterable
from typing import Any

import gymnasium
import numpy as np
from PIL import Image

from mssr_rl.data.pictures import MAX_PIXELS

_SAMPLED_CHARS = 64
_SAMPLED_SIDE = 32


class UnicodeText(gymnasium.Space[str]):
    """A space of all texts of up to `max_length` characters; empty text is allowed."""

    def __init__(self, max_length: int = 2**24, seed: int | np.random.Generator | None = None):
        self.max_length = max_length
        super().__init__(dtype=str, seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Always False, because an array of fixed size cannot hold texts of any length."""
        return False

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """Return a short random text from several alphabets.

        Raises ValueError if a mask is given.
        """
        _refuse_masks(mask, probability)
        alphabet = "ab xyzAZ0189\\{}()<>/$^=+-.,\n°é中π🙂"
        length = int(self.np_random.integers(0, min(self.max_length, _SAMPLED_CHARS) + 1))
        return "".join(alphabet[i] for i in self.np_random.integers(0, len(alphabet), length))

    def contains(self, x: Any) -> bool:
        """Return whether `x` is a text of at most `max_length` characters."""
        return isinstance(x, str) and len(x) <= self.max_length

    def to_jsonable(self, sample_n: Iterable[str]) -> list[str]:
        """Return the texts as a list; texts are JSON values already."""
        return list(sample_n)

    def from_jsonable(self, sample_n: list[str]) -> list[str]:
        """Return the texts as a list, unchanged."""
        return list(sample_n)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UnicodeText) and other.max_length == self.max_length

    def __hash__(self) -> int:
        return hash((UnicodeText, self.max_length))

    def __repr__(self) -> str:
        return f"UnicodeText({self.max_length})"


class ImageSpace(gymnasium.Space[Image.Image]):
    """A space of RGB pictures of any size up to `max_pixels` pixels."""

    def __init__(self, max_pixels: int = MAX_PIXELS, seed: int | np.random.Generator | None = None):
        self.max_pixels = max_pixels
        super().__init__(seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """Always False, because an array of fixed size cannot hold pictures of several sizes."""
        return False

    def sample(self, mask: Any = None, probability: Any = None) -> Image.Image:
        """Return a small picture of random size with random pixels.

        Raises ValueError if a mask is given.
        """
        _refuse_masks(mask, probability)
        side = min(_SAMPLED_SIDE, int(self.max_pixels**0.5))
        height, width = self.np_random.integers(1, side + 1, 2)
        return Image.fromarray(self.np_random.integers(0, 256, (height, width, 3), dtype=np.uint8))

    def contains(self, x: Any) -> bool:
        """Return whether `x` is an RGB picture of at most `max_pixels` pixels."""
        return (
            isinstance(x, Image.Image)
            and x.mode == "RGB"
            and 0 < x.width * x.height <= self.max_pixels
        )

    def to_jsonable(self, sample_n: Iterable[Image.Image]) -> list[str]:
        """Return each picture as the base64 text of a PNG."""
        return [base64.b64encode(_png(image)).decode() for image in sample_n]

    def from_jsonable(self, sample_n: list[str]) -> list[Image.Image]:
        """Return the pictures that `to_jsonable` has encoded."""
        return [Image.open(io.BytesIO(base64.b64decode(t))).convert("RGB") for t in sample_n]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ImageSpace) and other.max_pixels == self.max_pixels

    def __hash__(self) -> int:
        return hash((ImageSpace, self.max_pixels))

    def __repr__(self) -> str:
        return f"ImageSpace({self.max_pixels})"


def _refuse_masks(mask: Any, probability: Any) -> None:
    if mask is not None or probability is not None:
        raise ValueError("this space is sampled without mask and probability")


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
