"""PaliGemma: attention within the prompt is not causal, and every prompt has a picture."""

from typing import ClassVar

from mssr_rl.models.general import General


class PaliGemma(General):
    """The PaliGemma family, in which response tokens have token type 1.

    Tokens of type 0 are the prompt; each of them attends to the whole prompt.
    """

    model_types = ("paligemma",)
    response_types: ClassVar[dict[str, int]] = {"token_type_ids": 1}
