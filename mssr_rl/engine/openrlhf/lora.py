"""LoRA (arXiv 2106.09685) made whole: what `actors` sends to the rollout engines, and saves.

Training holds W and two small matrices A and B beside it; vLLM and whoever loads a checkpoint want
W + alpha / rank * B A under the model's own names.
"""

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor

ADAPTER = "default"


@torch.no_grad()
def whole(model: Any) -> dict[str, Tensor]:
    """{name: weight} of the model inside a PEFT model, matrices added in; W itself stays.

    Weights that ZeRO-3 has split over ranks are not there to be added to: the config refuses that.
    """
    base: Any = model.get_base_model()
    layers: list[tuple[str, Any]] = [
        (name, layer) for name, layer in base.named_modules() if isinstance(layer, LoraLayer)
    ]
    added = {f"{name}.base_layer.weight": layer.get_delta_weight(ADAPTER) for name, layer in layers}
    return {
        name.replace(".base_layer.", "."): weight + added[name] if name in added else weight
        for name, weight in base.named_parameters()
        if ".lora_" not in name
    }
