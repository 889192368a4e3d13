"""The interface of a model family: what an engine needs of it, and nothing more.

`qwen2_5_vl.py` is a special implementation, fast on a CPU. `general.py` serves every model that
transformers has classes for. `families/` has what single families need beyond the general one.
`load.py` picks one for a model folder, and its `said` line is printed at the start of a run.

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

PictureRule = Callable[[int, int], str | None]
"""(width, height) in pixels → why the model cannot take such a picture; None if it can."""


class ScoredResponses(NamedTuple):
    """Log-probability and entropy of each response token; 0 where the mask is 0."""

    logprob_BT: Tensor  # float32 [nat]
    entropy_BT: Tensor  # float32 [nat], over the full vocabulary


class Block(NamedTuple):
    """Prompts as tensors, ready for a pass."""

    prompts: Any  # in the family's own form
    prompt_tokens: int  # with image tokens, without padding
    image_tokens: int


class RawPrompt(NamedTuple):
    """A prompt for a program that expands pictures into tokens itself, such as vLLM."""

    tokens: list[int]  # one token for each picture
    pictures: list[Image.Image]
    length: int  # in tokens, with pictures expanded
    image_tokens: int


class FamilyEncoder(Protocol):
    """A family's encoder of prompts. Beyond this, only its own family looks inside."""

    @property
    def processor(self) -> "ProcessorMixin | None":
        """The model folder's processor; None for a model of text."""
        ...


class Family(Protocol):
    """A model family: prompts in, responses and their log-probabilities out."""

    kind: str  # transformers' class of the model
    said: str  # which implementation it is, as a phrase
    tokenizer: "PreTrainedTokenizerBase"
    vocabulary: Vocabulary  # what may be sampled, and what ends a response
    opening: str  # start of the response that the prompt has, e.g. a think tag; it is graded too

    @property
    def encoder(self) -> FamilyEncoder:
        """What turns problems into prompts."""
        ...

    def prepare(self, model: "PreTrainedModel", memory: MemoryUse = USUAL) -> None:
        """Prepare a model that samples and trains in this process. Called once, before any pass."""
        ...

    def length(self, problem: Problem) -> int:
        """Return the number of tokens of a problem's prompt, image tokens included."""
        ...

    def block(self, problems: Sequence[Problem], device: str) -> Block:
        """Encode problems as one block.

        Raises:
            UserError: a prompt is too long, or this model cannot be shown a problem.
        """
        ...

    def read(self, model: "PreTrainedModel", block: Block) -> Reading:
        """Make the pass over the prompts, which a group of rollouts shares.

        With gradient if enabled.
        """
        ...

    def sample(
        self, model: "PreTrainedModel", reading: Reading, sampling: Sampling, uniform_BT: Tensor
    ) -> Sampled:
        """Sample B = len(uniform_BT) responses. uniform_BT[b, t] decides token t of row b."""
        ...

    def score(
        self,
        model: "PreTrainedModel",
        reading: Reading,
        response: tuple[Tensor, Tensor],
        temperature: float,
    ) -> ScoredResponses:
        """Score every token of `response` = (token_BT, mask_BT). With gradient if enabled."""
        ...

    def sequences(
        self, model: "PreTrainedModel", problems: Sequence[Problem], response: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """Return the keyword arguments of one pass of transformers' own model over whole sequences.

        Prompts are padded on the left, so that all responses begin at the same column.
        """
        ...

    def asked(self, problem: Problem) -> "RawPrompt":
        """Return one problem in the form that vLLM gets."""
        ...

    def part(self, reading: Reading, rows: slice) -> Reading:
        """Return the reading of some of its prompts."""
        ...

    def save(self, model: "PreTrainedModel", folder: Path) -> None:
        """Write weights, config, tokenizer and processor, as transformers and vLLM read them."""
        ...

    def save_words(self, folder: Path) -> None:
        """Write the tokenizer and the processor only."""
        ...

    def picture_rule(self) -> PictureRule:
        """Return the rule which sizes of pictures the model accepts."""
        ...


class ScoringBatches(NamedTuple):
    """How many prompts there are, how many are scored at a time, and at which temperature."""

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
    """Call `Family.score` for a few prompts at a time: a large vocabulary needs much memory."""
    group_size = len(response[0]) // parts.prompts
    scored = []
    for first in range(0, parts.prompts, parts.together):
        rows = slice(first * group_size, (first + parts.together) * group_size)
        some = family.part(reading, slice(first, first + parts.together))
        part_response = (response[0][rows], response[1][rows])
        scored.append(family.score(model, some, part_response, parts.temperature))
    return ScoredResponses(*(torch.cat(column) for column in zip(*scored, strict=True)))
