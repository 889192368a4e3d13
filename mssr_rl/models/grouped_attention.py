"""Attention of few queries on a CPU that does not copy keys and values for every query head.

transformers copies keys and values for all query heads that share them, and then calls torch. If
few tokens attend to a long prompt, these copies take most of the time. Here all query heads that
share a key head are rows of one matrix product instead.

Shapes: B rows, H query heads, K key heads (H = K * R), T queries, S keys, D width of a head.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sdpa_grouped"
FEW = 64  # queries; for whole prompts torch's own kernel is faster


def attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **said: Any,
) -> tuple[Tensor, None]:
    """Return the attention output B T H D for `query` B H T D and `key`, `value` B K S D.

    The second result is None: transformers expects attention weights there, which are not kept.
    """
    few = query.shape[2] == 1 or (query.shape[2] <= FEW and attention_mask is not None)
    if not few or query.device.type != "cpu" or query.shape[1] == key.shape[1]:
        attended: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **said
        )
        return attended
    return _grouped(query, key, value, attention_mask, said.get("scaling")), None


def _grouped(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None
) -> Tensor:
    b, h, t, d = query.shape
    k = key.shape[1]
    scale = d**-0.5 if scaling is None else scaling
    rows_BKRtD = (query * scale).reshape(b, k, h // k * t, d)
    score = rows_BKRtD @ key.transpose(2, 3)
    if mask is not None:
        score = _masked(score.view(b, k, h // k, t, -1), mask).view(b, k, h // k * t, -1)
    summed = score.softmax(-1) @ value
    return summed.view(b, h, t, -1).transpose(1, 2).contiguous()


def _masked(score_BKRTS: Tensor, mask_B1TS: Tensor) -> Tensor:
    """Return scores with the mask applied.

    A bool mask replaces the scores of hidden keys by the lowest finite number. Any other mask is
    added to the scores.
    """
    mask = mask_B1TS[:, :, None, :, : score_BKRTS.shape[-1]]
    if mask.dtype == torch.bool:
        # Not minus infinity: padding on the left sees no key, and its softmax would be NaN.
        return score_BKRTS.masked_fill(~mask, torch.finfo(score_BKRTS.dtype).min)
    return score_BKRTS + mask


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
