"""SmolVLM: its processor needs a package that writes the seconds of a video as words."""

from transformers.models.smolvlm import processing_smolvlm

from mssr_rl.models.general import General


class SmolVLM(General):
    """The package `num2words` is only called for videos, and there are none here."""

    model_types = ("smolvlm",)

    @classmethod
    def ready(cls) -> None:
        """Put a function in the package's place; the processor only tests that it is there."""
        processing_smolvlm.num2words = processing_smolvlm.num2words or _no_videos


def _no_videos(*_: object, **__: object) -> str:
    raise RuntimeError("a video was given, and nothing here plays videos")
