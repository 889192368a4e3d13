"""Add LoRA's matrices (arXiv 2106.09685) to the weights for rollout engines and checkpoints.

In training, each weight W has two small matrices A and B. vLLM and checkpoints need the sum
W + alpha / rank * B A under the model's own names.
"""

from typing import Any

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from torch import Tensor

ADAPTER = "default"


@torch.no_grad()
def whole(model: PeftModel) -> dict[str, Tensor]:
    """Return {name: weight} of the model inside a PEFT model, with LoRA's matrices added.

    The model's own weights are not changed. They must be whole on this rank, so the config refuses
    LoRA together with ZeRO-3.
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
