"""Log-probabilities of given responses, problem by problem: the pass that training differentiates.

Shapes: P prompts, G rollouts a prompt, B = P * G, T response tokens, V vocabulary.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from mssr_rl.models import lean
from mssr_rl.models.encode import Prompts
from mssr_rl.models.vocabulary import Vocabulary, entropy, log_probabilities


class Scored(NamedTuple):
    """Per response token; 0 where the mask is 0."""

    logprob_BT: Tensor  # float32 [nat]
    entropy_BT: Tensor  # float32 [nat], over the full vocabulary


def hidden_states(model: Any, prompts: Prompts, token_BT: Tensor) -> Tensor:
    """B T D: the state that predicts each response token, the prompt read once per problem."""
    cache, last_PD = lean.read(model, prompts)
    group_size = len(token_BT) // len(last_PD)
    first_B1D = last_PD.repeat_interleave(group_size, 0)[:, None]
    if token_BT.shape[1] == 1:
        return first_B1D
    return torch.cat((first_B1D, lean.follow(model, cache, token_BT[:, :-1], group_size)), dim=1)


def score(
    model: Any, prompts: Prompts, response: tuple[Tensor, Tensor], temperature: float
) -> Scored:
    """Log-probability and entropy of every token of `response` = (token_BT, mask_BT)."""
    token_BT, mask_BT = response
    chosen = mask_BT.bool()
    hidden_ND = hidden_states(model, prompts, token_BT)[chosen]
    logprob_NV = log_probabilities(model, hidden_ND, Vocabulary.of(model), temperature)
    logprob_N = logprob_NV.gather(1, token_BT[chosen][:, None])[:, 0]
    empty_BT = torch.zeros_like(mask_BT, dtype=torch.float32)
    return Scored(
        empty_BT.masked_scatter(chosen, logprob_N),
        empty_BT.masked_scatter(chosen, entropy(logprob_NV)),
    )
