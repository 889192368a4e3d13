"""Reading and writing model folders in the ordinary `save_pretrained` layout."""

from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers import AutoModelForImageTextToText, AutoProcessor

from mssr_rl.errors import UserError
from mssr_rl.models import model_folder
from mssr_rl.models.processor import save_processor

# A model folder may come from anybody: weights are read as safetensors, never unpickled, and Python
# files in it are never run.
DATA_ONLY = {"trust_remote_code": False}

transformers.utils.logging.disable_progress_bar()


def load_model(path: str, device: str, dtype: str) -> Any:
    """A Qwen2.5-VL policy in training precision; anything else is refused."""
    folder = model_folder(path)
    try:
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


def load_processor(path: str) -> Any:
    """The processor that belongs to the model folder."""
    return AutoProcessor.from_pretrained(model_folder(path), **DATA_ONLY)


def save_model(model: Any, processor: Any, folder: Path) -> None:
    """Weights, config, tokenizer and processor: the folder loads by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    save_processor(processor, folder)


def _first_line(problem: Exception) -> str:
    return str(problem).strip().splitlines()[0]
