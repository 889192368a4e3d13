"""The canvas on which every family draws: 96 x 96 RGB, drawn at twice the size.

Coordinates are pixels of the final picture. Each picture also gets a `DrawingStyle` that does not
depend on its answer: a tint of the paper, a small shift, zoom and rotation. Without it, the
pictures of a clock or a number line would repeat within a few hundred rows.
"""

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Rgb = tuple[int, int, int]
Point = tuple[float, float]

SIZE = 96
OVERSAMPLE = 2

BLACK: Rgb = (15, 15, 15)
WHITE: Rgb = (255, 255, 255)
GREY: Rgb = (190, 190, 190)
COLOURS: dict[str, Rgb] = {
    "red": (220, 30, 35),
    "blue": (25, 90, 210),
    "green": (20, 150, 50),
    "orange": (250, 140, 0),
    "purple": (140, 50, 180),
}


class DrawingStyle(NamedTuple):
    """The random differences between pictures that do not change the answer."""

    paper: Rgb
    zoom: float
    turn: float  # radians
    shift: Point  # pixels


def sample_look(rng: np.random.Generator) -> DrawingStyle:
    """Return a random style: a tint, and a small shift, zoom and rotation.

    The shift is at most 1 pixel, the zoom 1 % and the rotation half a degree.
    """
    red, green, blue = (int(c) for c in rng.integers(226, 256, 3))
    zoom = float(rng.uniform(0.99, 1.0))
    turn = math.radians(float(rng.uniform(-0.5, 0.5)))
    dx, dy = (float(d) for d in rng.uniform(-1.0, 1.0, 2))
    return DrawingStyle((red, green, blue), zoom, turn, (dx, dy))


@functools.cache
def _font(px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's embedded font; no font file is needed.

    The font has no multiplication sign.
    """
    return ImageFont.load_default(size=px)


class Canvas:
    """A picture to draw on with the methods below; `finish` returns it."""

    def __init__(self, look: DrawingStyle) -> None:
        side = SIZE * OVERSAMPLE
        self._look = look
        self._image = Image.new("RGB", (side, side), look.paper)
        self._draw = ImageDraw.Draw(self._image)

    def line(self, points: Sequence[Point], colour: Rgb = BLACK, width: float = 2.0) -> None:
        """Draw a line through all the points, in their order."""
        self._draw.line(_scaled(points), fill=colour, width=_stroke(width), joint="curve")

    def polygon(self, points: Sequence[Point], fill: Rgb, edge: float = 0.0) -> None:
        """Draw a filled polygon; `edge` is the width of its black outline."""
        self._draw.polygon(_scaled(points), fill=fill)
        if edge:
            self.line([*points, points[0], points[1]], BLACK, edge)

    def box(self, corner: Point, opposite: Point, fill: Rgb, edge: float = 0.0) -> None:
        """Draw an upright rectangle between two opposite corners."""
        (x0, y0), (x1, y1) = corner, opposite
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill, edge)

    def disc(self, centre: Point, radius: float, fill: Rgb, edge: float = 0.0) -> None:
        """Draw a filled circle; `edge` is the width of its black outline."""
        (x, y), r = centre, radius
        bounds = [c * OVERSAMPLE for c in (x - r, y - r, x + r, y + r)]
        outline = BLACK if edge else None
        self._draw.ellipse(bounds, fill=fill, outline=outline, width=_stroke(edge))

    def label(self, centre: Point, text: str | int, px: int, anchor: str = "mm") -> None:
        """Write black text.

        `px` is the font size in pixels; capitals are about 0.7 times as high.
        """
        x, y = centre[0] * OVERSAMPLE, centre[1] * OVERSAMPLE
        self._draw.text((x, y), str(text), font=_font(px * OVERSAMPLE), fill=BLACK, anchor=anchor)

    def stamp(self, ink: Image.Image, corner: Point, size: Point) -> None:
        """Print a grey mask in black, enlarged to `size` pixels.

        The mask value 255 prints full black.
        """
        width, height = (round(s * OVERSAMPLE) for s in size)
        mask = ink.resize((width, height), Image.Resampling.BICUBIC)
        at = (round(corner[0] * OVERSAMPLE), round(corner[1] * OVERSAMPLE))
        self._image.paste(BLACK, at, mask)

    def finish(self) -> Image.Image:
        """Return the picture at its final size, with the style's shift, zoom and rotation."""
        side, look = SIZE * OVERSAMPLE, self._look
        moved = self._image.transform(
            (side, side),
            Image.Transform.AFFINE,
            _affine(look, side / 2),
            Image.Resampling.BILINEAR,
            fillcolor=look.paper,
        )
        return moved.reduce(OVERSAMPLE)


def _affine(look: DrawingStyle, middle: float) -> tuple[float, float, float, float, float, float]:
    """Return the coefficients with which Pillow maps points of the result to the source picture."""
    cos, sin = math.cos(look.turn) / look.zoom, math.sin(look.turn) / look.zoom
    x, y = (middle + d * OVERSAMPLE for d in look.shift)
    return (cos, sin, middle - cos * x - sin * y, -sin, cos, middle + sin * x - cos * y)


def _scaled(points: Sequence[Point]) -> list[Point]:
    return [(x * OVERSAMPLE, y * OVERSAMPLE) for x, y in points]


def _stroke(width: float) -> int:
    return max(1, round(width * OVERSAMPLE))
