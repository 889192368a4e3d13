"""PaliGemma: a prompt is seen in both directions, and always has a picture."""

from typing import ClassVar

from mssr_rl.models.general import General


class PaliGemma(General):
    """Token type 0 is the prompt, which attends to all of itself; 1 is what follows it."""

    model_types = ("paligemma",)
    response_types: ClassVar[dict[str, int]] = {"token_type_ids": 1}
