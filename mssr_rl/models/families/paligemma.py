"""PaliGemma: attention over the prompt is not causal, and a prompt always has a picture."""

from typing import ClassVar

from mssr_rl.models.general import General


class PaliGemma(General):
    """Token type 0 is the prompt, which attends to all of itself.

    Type 1 is the response after it.
    """

    model_types = ("paligemma",)
    response_types: ClassVar[dict[str, int]] = {"token_type_ids": 1}
