"""The interface of a model family: the methods through which an engine uses a model.

`qwen2_5_vl.py` implements it for Qwen2.5-VL, and is fast on a CPU. `general.py` implements it for
every model that transformers has classes for, and `families/` adds what single families need.
`load.py` chooses the implementation for a model folder. A run prints its `said` when it starts.

Shapes: P problems, G rollouts a problem, B = P * G (problem-major), T response tokens.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import torch
from PIL import Image
from torch import Tensor

from mssr_rl.engine_protocol import Sampling
from mssr_rl.models.chunked_scores import USUAL, MemoryUse
from mssr_rl.models.sampled import Sampled
from mssr_rl.models.vocabulary import Vocabulary
from mssr_rl.problem import Problem

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

Reading = Any  # the result of a pass over a block of prompts; only its family looks inside

SavedWeights = dict[str, Tensor] | None  # by name; None: the model's own

PictureRule = Callable[[int, int], str | None]
"""(width, height) in pixels → why the model cannot take such a picture; None if it can."""


class ScoredResponses(NamedTuple):
    """The log-probability and entropy of each response token; 0 where the mask is 0."""

    logprob_BT: Tensor  # float32 [nat]
    entropy_BT: Tensor  # float32 [nat], over the full vocabulary


class Block(NamedTuple):
    """A block of encoded prompts, and its numbers of tokens."""

    prompts: Any  # in the family's own form
    prompt_tokens: int  # with image tokens, without padding
    image_tokens: int


class RawPrompt(NamedTuple):
    """A prompt for a sampler that expands pictures into tokens itself, such as vLLM."""

    tokens: list[int]  # one token for each picture
    pictures: list[Image.Image]
    length: int  # in tokens, with pictures expanded
    image_tokens: int


class FamilyEncoder(Protocol):
    """The encoder of a family's prompts. Its other attributes are used only by its own family."""

    @property
    def processor(self) -> "ProcessorMixin | None":
        """The model folder's processor; None for a model of text."""
        ...


class Family(Protocol):
    """A model family, which encodes prompts, samples responses and scores them."""

    kind: str  # transformers' class of the model
    said: str  # which implementation it is, as a phrase
    tokenizer: "PreTrainedTokenizerBase"
    vocabulary: Vocabulary  # what may be sampled, and what ends a response
    opening: str  # start of the response that the prompt has, e.g. a think tag; it is graded too

    @property
    def encoder(self) -> FamilyEncoder:
        """The encoder that turns problems into prompts."""
        ...

    def prepare(self, model: "PreTrainedModel", memory: MemoryUse = USUAL) -> None:
        """Prepare a model to sample and train in this process. Call it once, before any pass."""
        ...

    def length(self, problem: Problem) -> int:
        """Return the number of tokens of a problem's prompt, image tokens included."""
        ...

    def block(self, problems: Sequence[Problem], device: str) -> Block:
        """Return the prompts of problems as one block on a device.

        Raises:
            UserError: a prompt is too long, or this model cannot take a problem.
        """
        ...

    def read(self, model: "PreTrainedModel", block: Block) -> Reading:
        """Run the model on the prompts and return the result, which a group of rollouts shares.

        This result is called the reading of the prompts. It has a gradient if torch's gradients are
        enabled.
        """
        ...

    def sample(
        self, model: "PreTrainedModel", reading: Reading, sampling: Sampling, uniform_BT: Tensor
    ) -> Sampled:
        """Return B = len(uniform_BT) sampled responses; uniform_BT[b, t] decides token t of row b.

        The uniform numbers are from 0 to 1. Every prompt gets the same number of responses.
        """
        ...

    def score(
        self,
        model: "PreTrainedModel",
        reading: Reading,
        response: tuple[Tensor, Tensor],
        temperature: float,
    ) -> ScoredResponses:
        """Return the log-probability and entropy of every token of (token_BT, mask_BT).

        They have a gradient if torch's gradients are enabled.
        """
        ...

    def sequences(
        self, model: "PreTrainedModel", problems: Sequence[Problem], response: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """Return prompts with their responses as keyword arguments for transformers' own model.

        Prompts are padded on the left, so that all responses begin at the same column.
        """
        ...

    def asked(self, problem: Problem) -> "RawPrompt":
        """Return the prompt of one problem in the form that vLLM takes."""
        ...

    def part(self, reading: Reading, rows: slice) -> Reading:
        """Return the part of a reading, the result of `read`, that belongs to some prompts."""
        ...

    def save(self, model: "PreTrainedModel", folder: Path, weights: SavedWeights = None) -> None:
        """Write weights, config, tokenizer and processor into a folder.

        transformers and vLLM can load the folder. `weights` replaces the model's own weights.
        """
        ...

    def save_words(self, folder: Path) -> None:
        """Write the tokenizer and the processor only."""
        ...

    def picture_rule(self) -> PictureRule:
        """Return the rule that decides which sizes of pictures the model accepts."""
        ...


class ScoringBatches(NamedTuple):
    """The number of prompts, the number that is scored at a time, and the temperature."""

    prompts: int
    together: int
    temperature: float


def score_by_parts(
    family: Family,
    model: "PreTrainedModel",
    reading: Reading,
    response: tuple[Tensor, Tensor],
    parts: ScoringBatches,
) -> ScoredResponses:
    """Return the scores of responses, computed for a few prompts at a time to save memory."""
    group_size = len(response[0]) // parts.prompts
    scored = []
    for first in range(0, parts.prompts, parts.together):
        rows = slice(first * group_size, (first + parts.together) * group_size)
        some = family.part(reading, slice(first, first + parts.together))
        part_response = (response[0][rows], response[1][rows])
        scored.append(family.score(model, some, part_response, parts.temperature))
    return ScoredResponses(*(torch.cat(column) for column in zip(*scored, strict=True)))
