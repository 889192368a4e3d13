"""Measure the lengths of real prompts with the model's processor, for `plan`.

Only the processor is loaded, no weights. All lengths are in tokens, and include image tokens.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

from mssr_rl.config import Config
from mssr_rl.models import model_folder
from mssr_rl.problem import Problem

SAMPLE = 128  # problems that are measured, spread over the whole set


class PromptSizes(NamedTuple):
    """The lengths of the measured prompts [tokens]."""

    shortest: int
    median: int
    longest: int
    image_median: int  # tokens that pictures take
    image_longest: int
    measured: int
    problems: int


def measure(config: Config, problems: Sequence[Problem]) -> PromptSizes | None:
    """Return the prompt lengths of some problems; None if there is no tokenizer on this machine.

    Raises:
        UserError: a prompt is longer than `rollout.max_prompt_tokens`, or a picture is unreadable.
    """
    folder = Path(model_folder(config.model.path))
    if not folder.is_dir() or not any(folder.glob("tokenizer*")):
        return None
    from mssr_rl.models.load import family_of_folder, wanted

    family = family_of_folder(wanted(config))
    chosen = problems[:: -(-len(problems) // SAMPLE)]
    blocks = [family.block([problem], "cpu") for problem in chosen]
    tokens = sorted(block.prompt_tokens for block in blocks)
    images = sorted(block.image_tokens for block in blocks)
    return PromptSizes(
        shortest=tokens[0],
        median=round(median(tokens)),
        longest=tokens[-1],
        image_median=round(median(images)),
        image_longest=images[-1],
        measured=len(chosen),
        problems=len(problems),
    )


def sentence(sizes: PromptSizes | None, limit: int) -> str:
    """Return the plan's text about the prompt lengths; `limit` is the longest prompt allowed."""
    if sizes is None:
        return (
            f"not measured: the model's tokenizer is not on this machine; at most {limit:,} tokens"
        )
    return (
        f"{sizes.shortest:,} to {sizes.longest:,} tokens (median {sizes.median:,}), pictures take "
        f"{sizes.image_median:,} of them (at most {sizes.image_longest:,}); measured on "
        f"{sizes.measured:,} of {sizes.problems:,} problems"
    )
