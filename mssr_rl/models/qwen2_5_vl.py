"""The fast implementation of Qwen2.5-VL as a model family.

It uses `encode`, `lean`, `decode` and `score`. It computes what transformers computes (tests
compare the two) and is several times as fast on a CPU. Variants of Qwen2.5-VL that it does not
implement use `general.py`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

from mssr_rl.engine_protocol import Sampling
from mssr_rl.models import decode, lean, score
from mssr_rl.models.chunked_scores import USUAL, MemoryUse
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.family import Block, PictureRule, RawPrompt, SavedWeights, ScoredResponses
from mssr_rl.models.processor import save_processor
from mssr_rl.models.sampled import Sampled
from mssr_rl.models.sequences import join
from mssr_rl.models.vocabulary import Vocabulary
from mssr_rl.problem import Problem

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

MODEL_TYPE = "qwen2_5_vl"


def knows(config: "PreTrainedConfig") -> bool:
    """Return whether `lean` implements the model that this config describes."""
    if config.model_type != MODEL_TYPE:
        return False
    text = config.text_config
    plain_rope = text.rope_parameters.get("rope_type", "default") in ("default", "mrope")
    return (
        plain_rope
        and text.hidden_act == "silu"
        and config.vision_config.hidden_act == "silu"
        and not text.use_sliding_window
    )


class Qwen25VL:
    """The family Qwen2.5-VL. The docstrings of `family.Family` describe the methods in full."""

    kind = "Qwen2_5_VLForConditionalGeneration"
    said = "Qwen2.5-VL's own fast implementation"
    opening = ""

    def __init__(self, encoder: PromptEncoder, vocabulary: Vocabulary) -> None:
        self.encoder, self.vocabulary = encoder, vocabulary
        self.tokenizer = encoder.processor.tokenizer
        self.memory = USUAL

    def prepare(self, model: "PreTrainedModel", memory: MemoryUse = USUAL) -> None:  # noqa: ARG002
        """Set the memory settings of training. The model itself needs no change."""
        self.memory = memory

    def length(self, problem: Problem) -> int:
        """Return the number of tokens of a problem's prompt."""
        return self.encoder.length(problem)

    def block(self, problems: Sequence[Problem], device: str) -> Block:
        """Return the prompts of problems as one block on a device."""
        prompts = self.encoder.block(problems).to(device)
        image_tokens = sum(pictures.slot_NK.numel() for pictures in prompts.pictures)
        return Block(prompts, int(prompts.mask_PL.sum()), image_tokens)

    def read(self, model: "PreTrainedModel", block: Block) -> lean.Reading:
        """Run the model on the prompts, and return their keys, values and last hidden states."""
        return lean.read_prompts(model, block.prompts, recompute=self.memory.checkpointing)

    def sample(
        self,
        model: "PreTrainedModel",
        reading: lean.Reading,
        sampling: Sampling,
        uniform_BT: Tensor,
    ) -> Sampled:
        """Return sampled responses, the same number for each prompt of the reading."""
        return decode.sample(model, reading, sampling, uniform_BT)

    def score(
        self,
        model: "PreTrainedModel",
        reading: lean.Reading,
        response: tuple[Tensor, Tensor],
        temperature: float,
    ) -> ScoredResponses:
        """Return the log-probability and entropy of every response token."""
        return score.score(model, reading, response, temperature, self.memory)

    def sequences(
        self, model: "PreTrainedModel", problems: Sequence[Problem], response: tuple[Tensor, Tensor]
    ) -> dict[str, Tensor]:
        """Return left-padded prompts with their responses, as the model's keyword arguments."""
        joined = join(self.encoder, problems, *response)
        return joined.inputs(response[0].device, model.dtype)

    def asked(self, problem: Problem) -> RawPrompt:
        """Return a prompt for vLLM, with one token for each picture and pictures in final size."""
        pixels = [self.encoder.pixels(data) for data in problem.images]
        spread = self.encoder.layout(problem, pixels).tokens  # raises if the prompt is too long
        return RawPrompt(
            tokens=self.encoder.text_tokens(problem),
            pictures=[Image.fromarray(p.transpose(1, 2, 0)) for p in pixels],
            length=len(spread),
            image_tokens=spread.count(self.encoder.image_token),
        )

    def part(self, reading: lean.Reading, rows: slice) -> lean.Reading:
        """Return the part of a reading, the result of `read`, for some prompts, as views."""
        return lean.part(reading, rows)

    def save(self, model: "PreTrainedModel", folder: Path, weights: SavedWeights = None) -> None:
        """Write weights, config, tokenizer and processor; the folder loads without other files."""
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder, state_dict=weights)
        self.save_words(folder)

    def save_words(self, folder: Path) -> None:
        """Write the tokenizer and the processor."""
        save_processor(self.encoder.processor, folder)

    def picture_rule(self) -> PictureRule:
        """Return a rule that refuses pictures with one side over 200 times the other."""
        images = self.encoder.images
        side, size = images.patch_size * images.merge_size, images.size

        def refused(width: int, height: int) -> str | None:
            try:
                smart_resize(height, width, side, size.shortest_edge, size.longest_edge)
            except ValueError as error:
                return str(error)
            return None

        return refused
