"""Pictures for the vision tower, which are cut into patches only when they are embedded.

Patches need four times as much memory as pictures. So without gradient, only a few pictures are cut
at a time.

Shapes: N pictures of one size, C colour channels, S patches a picture, K = S / merge^2 image
tokens, V values of a patch.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from mssr_rl.models import fused

TOGETHER = 128  # patches that fit into the processor's cache until they are embedded


class Pictures(NamedTuple):
    """Pictures of one size, and the places of their features among the prompt tokens."""

    pixel_NCHW: Tensor  # uint8; H and W are multiples of a merged patch
    value_C256: Tensor  # the model's input for each byte of a channel
    slot_NK: Tensor  # index into the flattened P * L tokens
    side: int  # of a patch [pixels]
    merge: int  # patches down and across that become one token

    def to(self, device: str) -> "Pictures":
        """Return the same pictures on another device."""
        pixel, value, slot = (x.to(device) for x in self[:3])
        return self._replace(pixel_NCHW=pixel, value_C256=value, slot_NK=slot)

    @property
    def grid(self) -> tuple[int, int]:
        """The numbers of patches down and across in one picture."""
        height, width = self.pixel_NCHW.shape[2:]
        return height // self.side, width // self.side

    @property
    def patches(self) -> int:
        """The number of patches in one picture."""
        return self.grid[0] * self.grid[1]

    def parts(self) -> Iterator["Pictures"]:
        """Yield the same pictures in parts of a few pictures each."""
        few = max(1, TOGETHER // self.patches)
        for pixel, slot in zip(self.pixel_NCHW.split(few), self.slot_NK.split(few), strict=True):
            yield self._replace(pixel_NCHW=pixel, slot_NK=slot)

    def cut(self) -> Tensor:
        """Return the scaled and normalised patches N S V, in the order that the merger expects.

        The patches are of one frame; in a still picture all frames are equal. `all_frames` repeats
        them.
        """
        pixel, side, merge = self.pixel_NCHW, self.side, self.merge
        (n, channels), (down, across) = pixel.shape[:2], self.grid
        if fused.usable(self.value_C256):
            shape = (n, down * across, channels * side * side)
            patch = pixel.new_empty(shape, dtype=torch.float32)
            laid = torch.tensor([pixel.shape, pixel.stride()])
            fused.run("patches", pixel, self.value_C256, patch, laid[0], laid[1], side, merge)
            return patch
        blocks = (down // merge, merge, side, across // merge, merge, side)
        # The patches of one image token come one after the other, because the merger joins them.
        squares = pixel.reshape(n, channels, *blocks).permute(0, 2, 5, 3, 6, 1, 4, 7)
        of_channel = torch.arange(channels, device=pixel.device)[:, None]
        flat = squares.reshape(n, down * across, channels, -1).int()
        return self.value_C256[of_channel, flat].flatten(2)


def all_frames(patch_SV: Tensor, frames: int) -> Tensor:
    """Return patches in the format of transformers' processor, with the picture in every frame.

    The result has the shape of `patch_SV`, except that V is `frames` times as large.
    """
    one = patch_SV.view(*patch_SV.shape[:-1], 3, 1, -1)
    return one.expand(*one.shape[:-2], frames, one.shape[-1]).flatten(-3)
