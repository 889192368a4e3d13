"""Reading and writing model folders in the ordinary `save_pretrained` layout."""

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText

from mssr_rl.config.schema import Config
from mssr_rl.errors import UserError
from mssr_rl.models.processor import read_processor, save_processor
from mssr_rl.models.vetting import DATA_ONLY, local_folder

transformers.utils.logging.disable_progress_bar()


def load_model(path: str, device: str, dtype: str) -> Any:
    """A Qwen2.5-VL policy in training precision; anything else is refused."""
    folder = local_folder(path)
    try:  # weights are read as safetensors, never unpickled: a model folder may come from anybody
        model = AutoModelForImageTextToText.from_pretrained(
            folder, dtype=getattr(torch, dtype), **DATA_ONLY, use_safetensors=True
        )
    except (OSError, ValueError, SafetensorError) as problem:
        raise UserError(
            f"model.path={path} could not be loaded ({_first_line(problem)}); give a folder in the "
            "save_pretrained layout, a model id your machine can reach, or `tiny`"
        ) from problem
    if model.config.model_type != "qwen2_5_vl":
        raise UserError(
            f"model.path={path} is a {model.config.model_type} model; "
            "this engine trains Qwen2.5-VL models (model_type qwen2_5_vl)"
        )
    return model.to(device).eval()  # no dropout: rollout and training see the same policy


def load_processor(path: str, min_pixels: int | None = None, max_pixels: int | None = None) -> Any:
    """The processor that belongs to the model folder, with narrower bounds for pictures if given.

    Not wider: a sampler that keeps to the model's own would scale pictures once more.
    """
    processor = read_processor(local_folder(path))
    size = processor.image_processor.size
    low, high = size.shortest_edge, size.longest_edge
    wanted = (min_pixels or low, max_pixels or high)
    if not low <= wanted[0] <= wanted[1] <= high:
        raise UserError(
            f"model.min_pixels={wanted[0]} and model.max_pixels={wanted[1]} must lie, in this "
            f"order, between the bounds of the model's own processor, {low} and {high}"
        )
    size.shortest_edge, size.longest_edge = wanted
    return processor


def processor_of(config: Config) -> Any:
    """The processor that a config asks for."""
    model = config.model
    return load_processor(model.path, model.min_pixels, model.max_pixels)


def save_model(model: Any, processor: Any, folder: Path) -> None:
    """Weights, config, tokenizer and processor: the folder loads by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    save_processor(processor, folder)


def _first_line(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0]
