"""What an engine needs of a model family, and nothing more.

`qwen2_5_vl.py` is the special implementation, fast on a CPU; `general.py` serves whatever
transformers has classes for; `families/` holds what single families need beyond the general one.
`load.py` picks one for a model folder, and its `said` line is printed at the start of a run.

Shapes: P problems, G rollouts a problem, B = P * G (problem-major), T response tokens.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor

from mssr_rl.engine_protocol import Sampling
from mssr_rl.models.sampled import Sampled
from mssr_rl.models.vocabulary import Vocabulary
from mssr_rl.problem import Problem

Reading = Any  # what a family made of a block of prompts: only the family itself looks inside

PictureRule = Callable[[int, int], str | None]
"""(width, height) in pixels → why the model cannot take such a picture; None if it can."""


class ScoredResponses(NamedTuple):
    """Per response token; 0 where the mask is 0."""

    logprob_BT: Tensor  # float32 [nat]
    entropy_BT: Tensor  # float32 [nat], over the full vocabulary


class Block(NamedTuple):
    """Prompts as tensors, ready to be read."""

    prompts: Any  # the family's own
    prompt_tokens: int  # padding left out, image tokens included
    image_tokens: int


class RawPrompt(NamedTuple):
    """A prompt for a program that spreads pictures out by itself."""

    tokens: list[int]  # one sign for each picture
    pictures: list[Image.Image]
    length: int  # in tokens, pictures spread out
    image_tokens: int


class Family(Protocol):
    """A policy's family: prompts in, responses and their log-probabilities out."""

    kind: str  # transformers' class of the model
    said: str  # which implementation, in words
    tokenizer: Any
    encoder: Any  # of prompts; has the `processor`, None for a model of text
    vocabulary: Vocabulary  # what may be sampled, and what ends a response
    opening: str  # what the prompt begins of the response, such as a think tag; graded with it

    def prepare(self, model: Any) -> None:
        """Called once on a model that samples and trains here, before any pass."""
        ...

    def length(self, problem: Problem) -> int:
        """Tokens of a problem's prompt, image tokens included."""
        ...

    def block(self, problems: Sequence[Problem], device: str) -> Block:
        """Encode problems.

        Raises:
            UserError: a prompt is too long, or a problem cannot be shown to this model.
        """
        ...

    def read(self, model: Any, block: Block) -> Reading:
        """What a group of rollouts shares: the pass over its prompt. With gradient if enabled."""
        ...

    def sample(
        self, model: Any, reading: Reading, sampling: Sampling, uniform_BT: Tensor
    ) -> Sampled:
        """B = len(uniform_BT) responses; token t of row b is decided by uniform_BT[b, t]."""
        ...

    def score(
        self, model: Any, reading: Reading, response: tuple[Tensor, Tensor], temperature: float
    ) -> ScoredResponses:
        """Of every token of `response` = (token_BT, mask_BT). With gradient if enabled."""
        ...

    def sequences(
        self, model: Any, problems: Sequence[Problem], response: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """Keyword arguments of one pass of transformers' own model over whole sequences.

        Prompts are padded on the left, so that all responses begin at the same column.
        """
        ...

    def asked(self, problem: Problem) -> "RawPrompt":
        """One problem as vLLM is asked it."""
        ...

    def part(self, reading: Reading, rows: slice) -> Reading:
        """The reading of some of its prompts."""
        ...

    def save(self, model: Any, folder: Path) -> None:
        """Weights, config, tokenizer and processor, as transformers and vLLM read them."""
        ...

    def save_words(self, folder: Path) -> None:
        """Tokenizer and processor alone."""
        ...

    def picture_rule(self) -> PictureRule:
        """Which sizes of pictures the model takes."""
        ...


class ScoringBatches(NamedTuple):
    """How many of how many prompts are scored at a time, and at which temperature."""

    prompts: int
    together: int
    temperature: float


def score_by_parts(
    family: Family,
    model: Any,
    reading: Reading,
    response: tuple[Tensor, Tensor],
    parts: ScoringBatches,
) -> ScoredResponses:
    """`Family.score` for a few prompts at a time: over a large vocabulary it takes room."""
    group_size = len(response[0]) // parts.prompts
    scored = []
    for first in range(0, parts.prompts, parts.together):
        rows = slice(first * group_size, (first + parts.together) * group_size)
        some = family.part(reading, slice(first, first + parts.together))
        given = (response[0][rows], response[1][rows])
        scored.append(family.score(model, some, given, parts.temperature))
    return ScoredResponses(*(torch.cat(column) for column in zip(*scored, strict=True)))
