"""Log-probabilities and entropies of given responses of Qwen2.5-VL, with gradient for training.

Shapes: P prompts, G rollouts a prompt, B = P * G, T response tokens, N real ones among B * T, V
vocabulary.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mssr_rl.models import lean
from mssr_rl.models.chunked_scores import USUAL, MemoryUse, score_states
from mssr_rl.models.family import ScoredResponses
from mssr_rl.models.vocabulary import TokenScores, Vocabulary, score_tokens

if TYPE_CHECKING:
    from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import (
        Qwen2_5_VLForConditionalGeneration,
    )


def hidden_states(
    model: "Qwen2_5_VLForConditionalGeneration",
    reading: lean.Reading,
    response: tuple[Tensor, Tensor],
    *,
    recompute: bool = False,
) -> Tensor:
    """Return the hidden states N D that predict the N real tokens of (token_BT, mask_BT).

    `reading` is the result of `lean.read_prompts` for the prompts.
    """
    (cache, last_PD), (token_BT, mask_BT) = reading, response
    b, real = len(token_BT), mask_BT.bool()
    group_size = b // len(last_PD)
    first_BD = last_PD.repeat_interleave(group_size, 0)
    # The prompt's own pass predicts the first token, so nothing more is computed.
    if token_BT.shape[1] == 1:
        return first_BD[real[:, 0]]
    later = real[:, 1:]  # the state at a token predicts the next one
    given = token_BT[:, :-1], later
    later_ND = lean.follow(model, cache, given, group_size, recompute=recompute)
    # The prompt's last state predicts a first token, the token before it any other; `place_BT` says
    # in which row of the two parts each state is.
    place_BT = torch.arange(b, device=real.device)[:, None].repeat(1, real.shape[1])
    place_BT[:, 1:][later] = torch.arange(b, b + len(later_ND), device=real.device)
    return torch.cat((first_BD, later_ND))[place_BT[real]]


def score(
    model: "Qwen2_5_VLForConditionalGeneration",
    reading: lean.Reading,
    response: tuple[Tensor, Tensor],
    temperature: float,
    memory: MemoryUse = USUAL,
) -> ScoredResponses:
    """Return the log-probability and entropy of every token of (token_BT, mask_BT)."""
    token_BT, mask_BT = response
    chosen, vocabulary = mask_BT.bool(), Vocabulary.of(model)

    def of_tokens(logits_NV: Tensor, token_N: Tensor) -> TokenScores:
        return score_tokens(logits_NV, token_N, vocabulary, temperature)

    states_ND = hidden_states(model, reading, response, recompute=memory.checkpointing)
    at_once = memory.tokens_at_once(len(model.lm_head.weight))
    scores = score_states(states_ND, model.lm_head, token_BT[chosen], of_tokens, at_once)
    empty_BT = torch.zeros_like(mask_BT, dtype=torch.float32)
    return ScoredResponses(*(empty_BT.masked_scatter(chosen, of_N) for of_N in scores))
