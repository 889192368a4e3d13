"""Gradient checkpointing (arXiv 1604.06174): compute activations again instead of keeping them.

`lean` calls `run` for its own layers. `recompute_layers` changes transformers' layers; its
own switch for this works only in training mode, which turns dropout on, and it drops the cache in
passes without gradient too.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import torch
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

Result = TypeVar("Result")


def run(layer: Callable[..., Result], *inputs: Any, recompute: bool) -> Result:
    """Return the result of `layer(*inputs)`.

    With `recompute`, the backward pass computes the layer's activations again.
    """
    if not recompute or not torch.is_grad_enabled():
        return layer(*inputs)
    # These layers draw no random numbers, so no generator's state has to be restored.
    outputs: Result = checkpoint(layer, *inputs, use_reentrant=False, preserve_rng_state=False)
    return outputs


def recompute_layers(module: torch.nn.Module) -> int:
    """Let transformers' layers in a module be computed again in the backward pass.

    Returns the number of layers. A pass with gradient must not use a cache: the second computation
    would add its keys and values again.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, GradientCheckpointingLayer)]
    for layer in layers:
        # A partial, because a deep copy of the model must get forward methods of its own layers.
        layer.forward = partial(_forward, layer)
    return len(layers)


def _forward(layer: Any, *inputs: Any, **options: Any) -> Any:
    return run(partial(type(layer).forward, layer, **options), *inputs, recompute=True)
