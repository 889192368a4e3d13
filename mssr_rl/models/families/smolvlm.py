"""SmolVLM: its processor asks for a package that spells out the seconds of a video."""

from transformers.models.smolvlm import processing_smolvlm

from mssr_rl.models.general import General


class SmolVLM(General):
    """`num2words` is called for videos only, of which there are none."""

    model_types = ("smolvlm",)

    @classmethod
    def ready(cls) -> None:
        """The processor only asks whether the package is there."""
        processing_smolvlm.num2words = processing_smolvlm.num2words or _no_videos


def _no_videos(*_: object, **__: object) -> str:
    raise RuntimeError("a video was given, and nothing here plays videos")
