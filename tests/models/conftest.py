"""Model folders in the layouts of their publishers, with the shipped model's weights."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mssr_rl.models import TINY

PROCESSOR = "Qwen2_5_VLProcessor"


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def write(folder: Path, name: str, value: dict[str, Any]) -> None:
    (folder / name).write_text(json.dumps(value))


def nested(folder: Path) -> None:
    """Write the layout of transformers 5: text and vision apart, one processor file."""
    shutil.copytree(TINY, folder)
    for name in ("processor_config.json", "tokenizer_config.json"):
        write(folder, name, {**read(folder, name), "processor_class": PROCESSOR})


def flat(folder: Path) -> None:
    """Write the layout of transformers 4: text entries at the top, old names, bfloat16 shards."""
    folder.mkdir(parents=True)
    known = read(TINY, "config.json")
    text, vision = known.pop("text_config"), known.pop("vision_config")
    rope = text.pop("rope_parameters")
    vision["in_chans"] = vision.pop("in_channels")
    vision.pop("model_type")
    scaling = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    text |= {"rope_theta": rope["rope_theta"], "rope_scaling": scaling, "torch_dtype": "bfloat16"}
    for gone in ("layer_types", "tie_word_embeddings"):
        text.pop(gone)
    known |= {"tie_word_embeddings": True, "transformers_version": "4.41.2"}
    write(folder, "config.json", {**text, **known, "vision_config": vision})
    image = read(TINY, "processor_config.json")["image_processor"]
    size = image.pop("size")
    bounds = {"min_pixels": size["shortest_edge"], "max_pixels": size["longest_edge"]}
    write(folder, "preprocessor_config.json", image | bounds | {"processor_class": PROCESSOR})
    template = (TINY / "chat_template.jinja").read_text()
    write(folder, "chat_template.json", {"chat_template": template})
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(TINY / name, folder / name)
    shards(folder)


def shards(folder: Path) -> None:
    """Write two files and their index, with the names that transformers 4 used."""
    weights = {
        name.replace("model.language_model.", "model.").replace("model.visual.", "visual."): w
        for name, w in load_file(TINY / "model.safetensors").items()
    }
    names = sorted(weights)
    index = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"model-{number:05}-of-00002.safetensors"
        tensors = {name: weights[name].to(torch.bfloat16) for name in part}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(part, file)
    write(folder, "model.safetensors.index.json", {"metadata": {}, "weight_map": index})


LAYOUTS: dict[str, Callable[[Path], None]] = {"nested": nested, "flat": flat}


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return {layout: a folder in it}."""
    root = tmp_path_factory.mktemp("published")
    for name, layout in LAYOUTS.items():
        layout(root / name)
    return {name: root / name for name in LAYOUTS}
