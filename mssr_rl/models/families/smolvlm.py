"""SmolVLM: its processor requires the package `num2words`, which is used only for videos."""

from transformers.models.smolvlm import processing_smolvlm

from mssr_rl.models.general import General


class SmolVLM(General):
    """The SmolVLM family, which works without the package `num2words`."""

    model_types = ("smolvlm",)

    @classmethod
    def ready(cls) -> None:
        """Replace a missing `num2words` by a function that raises RuntimeError.

        The processor only checks that there is one; it calls it only for videos.
        """
        processing_smolvlm.num2words = processing_smolvlm.num2words or _no_videos


def _no_videos(*_: object, **__: object) -> str:
    raise RuntimeError("a video was given, and nothing here plays videos")
