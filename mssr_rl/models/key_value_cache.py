"""Operations on transformers' key-value cache. `general` uses them.

A cache is shared by the rollouts of a prompt, so nothing here changes a cache that was passed in.
"""

import copy
from typing import Any

import torch.nn.functional as F
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin


def differentiable(cache: Cache) -> bool:
    """Return whether gradients pass through the cache.

    They do not if a layer updates its states in place, as linear attention does.
    """
    return all(
        isinstance(layer, DynamicLayer) and not isinstance(layer, LinearAttentionCacheLayerMixin)
        for layer in cache.layers
    )


def forked(cache: Cache, index_B: Tensor) -> Cache:
    """Return a cache with the rows of this index, repeated or reordered.

    The original cache is not changed.
    """
    # Shallow copies are enough: `reorder_cache` puts new tensors into them.
    fork = copy.copy(cache)
    fork.layers = [copy.copy(layer) for layer in cache.layers]
    for layer in fork.layers:
        for name, value in vars(layer).items():
            if isinstance(value, dict):  # linear attention keeps its states in dicts
                setattr(layer, name, dict(value))
    fork.reorder_cache(index_B)
    return fork


class PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """A cache layer with free space, so that a new token is added without copying the others."""

    def __init__(self, layer: DynamicLayer, more: int) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = layer.dtype, layer.device, True
        self.length = layer.keys.shape[2]
        self._allocated = [F.pad(x, (0, 0, 0, more)) for x in (layer.keys, layer.values)]
        self._show()

    def _show(self) -> None:
        self.keys, self.values = (x[:, :, : self.length] for x in self._allocated)

    def update(
        self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Add the keys and values of new tokens; return those of all tokens."""
        end = self.length + key_states.shape[2]
        for allocated, new in zip(self._allocated, (key_states, value_states), strict=True):
            allocated[:, :, self.length : end] = new
        self.length = end
        self._show()
        return self.keys, self.values

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Keep only the rows of this index, in its order."""
        self._allocated = [x.index_select(0, beam_idx) for x in self._allocated]
        self._show()
