"""Qwen2.5-VL's processor for pictures and text, with or without torchvision.

transformers 5.15 builds `Qwen2_5_VLProcessor` only where torchvision is installed, because the
class carries a video processor. Nothing here plays videos, so without torchvision `AutoProcessor`
is given the same class without its video half; with torchvision it stays as it is. Importing this
module is enough. A saved folder names no class of ours and loads in both cases.
"""

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast, ProcessorMixin, Qwen2_5_VLConfig
from transformers.models.auto.processing_auto import PROCESSOR_MAPPING
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessorKwargs
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.utils.import_utils import is_torchvision_available


class Qwen2_5_VLImageTextProcessor(ProcessorMixin):  # type: ignore[misc]  # noqa: N801
    """`Qwen2_5_VLProcessor` without videos: one image token per merged patch."""

    valid_processor_kwargs = Qwen2_5_VLProcessorKwargs

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        chat_template: str | None = None,
        **_: Any,
    ) -> None:
        self.image_token = getattr(tokenizer, "image_token", "<|image_pad|>")
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        super().__init__(image_processor, tokenizer, chat_template=chat_template)

    def replace_image_token(self, image_inputs: dict[str, Any], image_idx: int, **_: Any) -> str:
        """The image token, once per merged patch of picture `image_idx`."""
        patches = int(image_inputs["image_grid_thw"][image_idx].prod())
        count: int = patches // self.image_processor.merge_size**2
        return str(self.image_token) * count


if not is_torchvision_available():
    # `AutoProcessor.register` refuses to replace the class of a stock model type, so the table that
    # it writes to is written here; transformers is pinned, and a test loads the shipped folder.
    PROCESSOR_MAPPING._extra_content[Qwen2_5_VLConfig] = (  # noqa: SLF001
        Qwen2_5_VLImageTextProcessor
    )


def new_processor(
    tokenizer: PreTrainedTokenizerFast, patch_size: int
) -> Qwen2_5_VLImageTextProcessor:
    """The tiny model's processor: 96 x 96 pictures pass unscaled, none has over 144 tokens."""
    token = (2 * patch_size) ** 2  # pixels under one image token
    image_processor = Qwen2VLImageProcessorPil(
        patch_size=patch_size,
        temporal_patch_size=2,
        merge_size=2,
        size={"shortest_edge": 4 * token, "longest_edge": 144 * token},
        image_mean=[0.9, 0.9, 0.9],  # light ground is about 0, ink stands out
        image_std=[0.3, 0.3, 0.3],
    )
    return Qwen2_5_VLImageTextProcessor(
        image_processor, tokenizer, chat_template=tokenizer.chat_template
    )


def save_processor(processor: ProcessorMixin, folder: Path) -> None:
    """`save_pretrained`, and the entries with which the folder also loads as the stock class."""
    processor.save_pretrained(folder)
    path = folder / "processor_config.json"
    config = json.loads(path.read_text())
    config.pop("processor_class", None)  # the model's type names the class, ours or the stock one
    image = config["image_processor"]
    image["image_processor_type"] = "Qwen2VLImageProcessor"
    same = ("patch_size", "temporal_patch_size", "merge_size", "size", "image_mean", "image_std")
    config["video_processor"] = {
        "video_processor_type": "Qwen2VLVideoProcessor",
        **{key: image[key] for key in same if key in image},
    }
    path.write_text(json.dumps(config, indent=2) + "\n")
    tokenizer_path = folder / "tokenizer_config.json"
    tokenizer = json.loads(tokenizer_path.read_text())
    tokenizer.pop("processor_class", None)
    tokenizer_path.write_text(json.dumps(tokenizer, indent=2) + "\n")
