"""Make wider copies of the tiny model with random weights, to measure cost and not quality."""

import shutil
from pathlib import Path
from typing import NamedTuple

from transformers import AutoConfig, GenerationConfig, Qwen2_5_VLForConditionalGeneration

TEXT = ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads")
VISION = ("hidden_size", "intermediate_size", "num_heads", "out_hidden_size")


class Widened(NamedTuple):
    """A model folder and its number of parameters."""

    folder: Path
    parameters: int


def widened(source: str, folder: Path, times: int) -> Widened:
    """Write a model with `times` the width and heads of `source`.

    Its depth and its tokens are those of `source`.
    """
    shutil.copytree(source, folder)
    config = AutoConfig.from_pretrained(source)
    for part, names in ((config.text_config, TEXT), (config.vision_config, VISION)):
        for name in names:
            setattr(part, name, times * getattr(part, name))
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config = GenerationConfig.from_pretrained(source)
    model.save_pretrained(folder)
    return Widened(folder, sum(parameter.numel() for parameter in model.parameters()))
