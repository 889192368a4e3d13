"""Turn problems into tensors for Qwen2.5-VL: tokens, mRoPE positions and pictures.

The result equals that of the model's processor and of `get_rope_index`; a test compares them. In
addition, an encoded problem is kept, and pictures of one size form one block.

Shapes: P prompts, L prompt tokens (right-padded).
"""

from collections.abc import Sequence
from functools import cached_property, lru_cache
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from weakref import ref

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from mssr_rl.data.pictures import decode
from mssr_rl.errors import UserError
from mssr_rl.models.patches import Pictures
from mssr_rl.models.templates import spoken
from mssr_rl.problem import Problem
from mssr_rl.prompts import chat_messages

if TYPE_CHECKING:
    from transformers import Qwen2_5_VLProcessor


class PromptBlock(NamedTuple):
    """A block of prompts, right-padded to one length."""

    token_PL: Tensor
    mask_PL: Tensor  # bool
    position_3PL: Tensor  # temporal, row, column
    next_position_P: Tensor  # the first response token's position, on all three axes
    pictures: tuple[Pictures, ...]

    def to(self, device: str) -> "PromptBlock":
        """Return the same block on another device."""
        if device == "cpu":
            return self
        moved = tuple(pictures.to(device) for pictures in self.pictures)
        return PromptBlock(
            self.token_PL.to(device),
            self.mask_PL.to(device),
            self.position_3PL.to(device),
            self.next_position_P.to(device),
            moved,
        )


class Layout(NamedTuple):
    """The tokens and mRoPE positions of one prompt, and the position after it."""

    tokens: list[int]
    position_3L: NDArray[np.int64]
    next_position: int


Pixels = NDArray[np.uint8]  # one picture, C x H x W
ROOM = 256 << 20  # bytes of decoded pictures that are kept


class PromptEncoder:
    """An encoder of problems with a Qwen2.5-VL processor.

    With remember=True it keeps the tokens of every encoded problem. Decoded pictures are kept in
    any case, up to a limit of memory. A process that gets copies of problems sets remember=False,
    because the same copy is never encoded twice.
    """

    def __init__(
        self, processor: "Qwen2_5_VLProcessor", max_tokens: int, *, remember: bool = True
    ) -> None:
        self.processor = processor
        self.max_tokens = max_tokens
        self.remember = remember
        self._text = processor.tokenizer.backend_tokenizer  # its wrapper takes twice as long
        self._text.no_truncation()
        self._text.no_padding()
        self.images = processor.image_processor
        self.image_token: int = processor.image_token_id
        self._seen: dict[int, tuple[ref[Problem], Layout]] = {}
        self._pixels: dict[bytes, Pixels] = {}
        self._room = ROOM
        self._lock = Lock()  # two threads must not use a tokenizer at once

    def layout(self, problem: Problem, pictures: Sequence[Pixels]) -> Layout:
        """Return the tokens and mRoPE positions of one problem's prompt.

        Raises UserError if the prompt is too long, or if its text contains the picture token.
        """
        kept = self._seen.get(id(problem))
        if kept is not None:
            return kept[1]
        grids = [tuple(side // self._token_side for side in p.shape[1:]) for p in pictures]
        with self._lock:
            tokens = self.text_tokens(problem)
        if tokens.count(self.image_token) != len(pictures):
            raise UserError(
                f"the text of {problem.key} holds the model's own sign for a picture, "
                f"{self.processor.image_token}; pictures belong into Problem.images"
            )
        layout = self._lay_out(tokens, grids)
        if len(layout.tokens) > self.max_tokens:
            raise UserError(
                f"the prompt of {problem.key} has {len(layout.tokens)} tokens, over "
                f"rollout.max_prompt_tokens={self.max_tokens}; raise it or drop the problem"
            )
        if self.remember:
            # Another object may get the problem's id when the problem is gone. So its entry goes
            # with it. Problems with fresh noise live for one step only.
            key = id(problem)
            alive = ref(problem, lambda _: self._seen.pop(key, None))
            self._seen[key] = (alive, layout)
        return layout

    def length(self, problem: Problem) -> int:
        """Return the number of tokens of a problem's prompt, image tokens included."""
        kept = self._seen.get(id(problem))
        if kept is not None:
            return len(kept[1].tokens)
        return len(self.layout(problem, self._pixels_of(problem)).tokens)

    def block(self, problems: Sequence[Problem]) -> PromptBlock:
        """Return the prompts of problems as one block, padded on the right.

        The pictures are grouped by size.
        """
        pictures = [self._pixels_of(problem) for problem in problems]
        layouts = [self.layout(*pair) for pair in zip(problems, pictures, strict=True)]
        width = max(len(layout.tokens) for layout in layouts)
        shape = (len(layouts), width)
        token_PL = np.full(shape, self.processor.tokenizer.pad_token_id, dtype=np.int64)
        mask_PL = np.zeros(shape, dtype=bool)
        position_3PL = np.zeros((3, *shape), dtype=np.int64)
        for row, layout in enumerate(layouts):
            length = len(layout.tokens)
            token_PL[row, :length] = layout.tokens
            mask_PL[row, :length] = True
            position_3PL[:, row, :length] = layout.position_3L
        return PromptBlock(
            torch.from_numpy(token_PL),
            torch.from_numpy(mask_PL),
            torch.from_numpy(position_3PL),
            torch.tensor([layout.next_position for layout in layouts]),
            self._pictures([p for row in pictures for p in row], token_PL),
        )

    def _pixels_of(self, problem: Problem) -> list[Pixels]:
        try:
            return [self.pixels(data) for data in problem.images]
        except ValueError as error:  # its data are broken, or its shape is not accepted
            raise UserError(
                f"problem {problem.key}: its picture cannot be used, {error}"
            ) from error

    @property
    def _token_side(self) -> int:
        return int(self.images.patch_size * self.images.merge_size)

    def text_tokens(self, problem: Problem) -> list[int]:
        """Return the token ids of a problem's prompt, with one image token for each picture."""
        text = spoken(self.processor, chat_messages(problem))
        (encoded,) = self._text.encode_batch_fast([text], add_special_tokens=False)
        return list(encoded.ids)

    def pixels(self, data: bytes) -> Pixels:
        """Return a decoded picture as the model gets it: RGB, in a size that the model accepts."""
        kept = self._pixels.get(data)
        return self._keep(data, self._decoded(data)) if kept is None else kept

    def _keep(self, data: bytes, pixels: Pixels) -> Pixels:
        """Store a decoded picture and return it. A full store is emptied first.

        A training step needs each picture four times; the next step has other pictures.
        """
        if pixels.nbytes > self._room:
            self._pixels.clear()
            self._room = ROOM
        self._pixels[data] = pixels
        self._room -= pixels.nbytes
        return pixels

    def _decoded(self, data: bytes) -> Pixels:
        image = decode(data)
        size = self.images.size
        height, width = smart_resize(
            image.height, image.width, self._token_side, size.shortest_edge, size.longest_edge
        )
        if (image.height, image.width) != (height, width):
            image = image.resize((width, height), Image.Resampling.BICUBIC)
        return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)

    def _lay_out(self, tokens: list[int], grids: list[tuple[int, ...]]) -> Layout:
        """Return the layout of a prompt whose text has one image token for each picture.

        Each image token is repeated for its picture's grid of image tokens. Positions are numbered
        by mRoPE (arXiv:2502.13923).
        """
        out: list[int] = []
        length = len(tokens) + sum(rows * across - 1 for rows, across in grids)
        position_3L = np.empty((3, length), dtype=np.int64)
        here = start = 0
        signs = [place for place, token in enumerate(tokens) if token == self.image_token]
        for sign, (rows, across) in zip(signs, grids, strict=True):
            here += _number(position_3L[:, len(out) :], here, sign - start)
            out += tokens[start:sign]
            place = slice(len(out), len(out) + rows * across)
            np.add(_cells(rows, across), here, out=position_3L[:, place])
            out += [self.image_token] * (rows * across)
            # Text continues behind the picture's longer side, not behind its number of tokens
            # (mRoPE).
            here += max(rows, across)
            start = sign + 1
        here += _number(position_3L[:, len(out) :], here, len(tokens) - start)
        return Layout(out + tokens[start:], position_3L, here)

    def _pictures(
        self, pictures: Sequence[Pixels], token_PL: NDArray[np.int64]
    ) -> tuple[Pictures, ...]:
        # Places are counted row by row of the block, as the pictures are listed.
        slots = np.flatnonzero(token_PL.reshape(-1) == self.image_token)
        blocks: dict[tuple[int, ...], list[tuple[Pixels, NDArray[np.int64]]]] = {}
        taken = 0
        for pixels in pictures:
            count = pixels.shape[1] * pixels.shape[2] // self._token_side**2
            place = slots[taken : taken + count]
            blocks.setdefault(pixels.shape, []).append((pixels, place))
            taken += count
        return tuple(self._block(entries) for entries in blocks.values())

    def _block(self, entries: list[tuple[Pixels, NDArray[np.int64]]]) -> Pictures:
        return Pictures(
            torch.from_numpy(np.stack([pixels for pixels, _ in entries])),
            self._value,
            torch.from_numpy(np.stack([place for _, place in entries])),
            self.images.patch_size,
            self.images.merge_size,
        )

    @cached_property
    def _value(self) -> Tensor:
        """The model's input for each of the 256 values of a byte, by colour channel: [3, 256]."""
        mean, std = (
            torch.tensor(of_channels)[:, None]
            for of_channels in (self.images.image_mean, self.images.image_std)
        )
        # A byte has 256 values, so scaling and normalising a picture is a look-up.
        value: Tensor = (torch.arange(256.0) * self.images.rescale_factor - mean) / std
        return value.expand(3, 256).contiguous()


def _number(position_3L: NDArray[np.int64], first: int, count: int) -> int:
    """Write the positions of `count` text tokens, equal on all three axes. Returns `count`."""
    position_3L[:, :count] = np.arange(first, first + count)
    return count


@lru_cache(maxsize=256)
def _cells(rows: int, across: int) -> NDArray[np.int64]:
    """Return the time, row and column of each image token of a picture, counted from 0."""
    return np.indices((1, rows, across)).reshape(3, -1)
