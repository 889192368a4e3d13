"""From hidden states to token probabilities: one place for sampling, scoring and training.

Structural tokens (pictures, turn marks) can't be produced: their logits are minus infinity in
every pass alike, so sampled and rescored log-probabilities are of the same distribution.

Shapes: N positions, D hidden, V vocabulary.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Vocabulary(NamedTuple):
    """What may be sampled, and what ends a response."""

    banned: Tensor  # int64 ids
    end: Tensor  # int64 ids
    pad: int

    @classmethod
    def of(cls, model: Any) -> "Vocabulary":
        """Read from the model's generation config, as `generate` would."""
        return cls.read(model.config, model.generation_config, model.device)

    @classmethod
    def read(cls, model_config: Any, config: Any, device: Any) -> "Vocabulary":
        """The same from the two configs of a model folder, without the model."""
        end = config.eos_token_id
        ends = end if isinstance(end, list) else [end]
        pictures = [model_config.image_token_id, model_config.video_token_id]
        banned = sorted({*(config.suppress_tokens or []), *pictures})
        pad = config.pad_token_id if config.pad_token_id is not None else ends[0]
        return cls(torch.tensor(banned, device=device), torch.tensor(ends, device=device), pad)


def log_probabilities(
    model: Any, hidden_ND: Tensor, vocabulary: Vocabulary, temperature: float
) -> Tensor:
    """float32 N V: log-softmax of logits / temperature over the tokens that may be sampled."""
    return token_log_probabilities(
        F.linear(hidden_ND, model.lm_head.weight), vocabulary, temperature
    )


def token_log_probabilities(
    logits_NV: Tensor, vocabulary: Vocabulary, temperature: float
) -> Tensor:
    """The same from logits, for engines whose model is run as a whole."""
    logits = logits_NV.float().index_fill(-1, vocabulary.banned, float("-inf"))
    return (logits if temperature == 1 else logits / temperature).log_softmax(-1)


def entropy(logprob_NV: Tensor) -> Tensor:
    """-sum p log p over the vocabulary [nat], N; a banned token adds nothing."""
    return -(logprob_NV.exp() * logprob_NV.clamp(min=-1e4)).sum(-1)
