"""Coordinate axes with a unit grid, shared by the families grid and func."""

from mssr_rl.envs.families.canvas import GREY, SIZE, Canvas, Point

REACH = 4  # the four-quadrant axes run from -REACH to REACH


class Axes:
    """Coordinate axes with a unit grid on a canvas; the constructor draws them."""

    def __init__(self, canvas: Canvas, low: int, high: int) -> None:
        self._unit = (66 if low == 0 else 76) / (high - low)
        self._origin = (19.0, 77.0) if low == 0 else (SIZE / 2, SIZE / 2)
        for k in range(low, high + 1):
            canvas.line([self.at(k, low), self.at(k, high)], GREY, 1)
            canvas.line([self.at(low, k), self.at(high, k)], GREY, 1)
        canvas.line([self.at(low, 0), self.at(high, 0)], width=2)
        canvas.line([self.at(0, low), self.at(0, high)], width=2)
        self._numbers(canvas, low, high)

    def at(self, x: float, y: float) -> Point:
        """Return the position of the point (x, y) on the canvas [pixels]."""
        return (self._origin[0] + self._unit * x, self._origin[1] - self._unit * y)

    def _numbers(self, canvas: Canvas, low: int, high: int) -> None:
        px, drop = (14, 9) if low == 0 else (12, 7)
        for k in range(low, high + 1):
            if k == 0 or (low < 0 and k % 2):
                continue
            (x, y), (left, height) = self.at(k, 0), self.at(0, k)
            canvas.label((x, y + drop), k, px)
            canvas.label((left - 3, height), k, px, anchor="rm")
