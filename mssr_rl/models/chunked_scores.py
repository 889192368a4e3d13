"""Compute log-probabilities and entropies over a large vocabulary in parts, to save memory.

4,096 response tokens have 622 million logits over a vocabulary of 151,936. That is 2.5 GB, and
log-softmax, entropy and gradients need several times as much. Here the output layer is applied to
some tokens at a time, and the backward pass computes their logits again. Only the hidden states
are kept. If the loss does not use the entropy, no gradient of the entropy is computed.

Shapes: N tokens, D hidden, V vocabulary.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mssr_rl.models.vocabulary import TokenScores

Score = Callable[[Tensor, Tensor], TokenScores]  # of logits N V and tokens N

LOGITS_AT_ONCE = 2**25  # 128 MiB in float32: large enough for full speed, small beside a model


class MemoryUse(NamedTuple):
    """The settings that save memory in a training pass. Results change only by rounding."""

    logit_tokens: int | None = None  # tokens whose logits exist at once; None: by the vocabulary
    checkpointing: bool = False  # a layer's activations are computed again in the backward pass

    def tokens_at_once(self, vocabulary: int) -> int:
        """Return for how many tokens logits are computed at once."""
        return self.logit_tokens or max(1, LOGITS_AT_ONCE // vocabulary)


USUAL = MemoryUse()


def score_states(
    states_ND: Tensor, head: torch.nn.Linear, token_N: Tensor, score: Score, at_once: int
) -> TokenScores:
    """Return the scores of N tokens: `score` of the logits `head(states_ND)` and `token_N`.

    Logits are computed for `at_once` tokens at a time. So the scores that `score` gives to a token
    must not depend on other tokens.
    """
    # Few logits are kept: computing them again would only cost time.
    if len(token_N) <= at_once:
        return score(F.linear(states_ND, head.weight, head.bias), token_N)
    given = (states_ND, head.weight, head.bias, token_N, score, at_once)
    return TokenScores(*_Chunked.apply(*given))  # type: ignore[no-untyped-call]


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> tuple[Tensor, Tensor]:
        states, weight, bias, token, ctx.score, ctx.at_once = given
        ctx.set_materialize_grads(False)  # a result without a gradient costs nothing
        ctx.save_for_backward(states, weight, bias, token)
        chunks = zip(states.split(ctx.at_once), token.split(ctx.at_once), strict=True)
        scores = [ctx.score(F.linear(x, weight, bias), of) for x, of in chunks]
        logprob, entropy = (torch.cat(column) for column in zip(*scores, strict=True))
        return logprob, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradient: Tensor | None) -> tuple[Tensor | None, ...]:
        states, weight, bias, token = ctx.saved_tensors
        of_states = torch.empty_like(states)
        # Sums over many chunks are kept in float32, also for bfloat16 weights.
        sums = [
            torch.zeros_like(x, dtype=torch.float32) if needed and x is not None else None
            for x, needed in zip((weight, bias), ctx.needs_input_grad[1:3], strict=True)
        ]
        for first in range(0, len(states), ctx.at_once):
            rows = slice(first, first + ctx.at_once)
            parts = [None if g is None else g[rows] for g in gradient]
            of_logits = _of_logits((states[rows], weight, bias), token[rows], ctx.score, parts)
            torch.mm(of_logits, weight, out=of_states[rows])
            _add_to(sums, of_logits, states[rows])
        of_weight, of_bias = (None if x is None else x.to(states.dtype) for x in sums)
        return of_states, of_weight, of_bias, None, None, None


def _of_logits(
    layer: tuple[Tensor, Tensor, Tensor | None],
    token: Tensor,
    score: Score,
    gradient: list[Tensor | None],
) -> Tensor:
    """Compute the logits of one chunk of tokens again, and return their gradient."""
    logits = F.linear(*layer).detach().requires_grad_()
    with torch.enable_grad():
        scores = score(logits, token)
    used = [(s, g) for s, g in zip(scores, gradient, strict=True) if g is not None]
    (of_logits,) = torch.autograd.grad([s for s, _ in used], logits, [g for _, g in used])
    return of_logits


def _add_to(sums: list[Tensor | None], of_logits: Tensor, states: Tensor) -> None:
    of_weight, of_bias = sums
    if of_weight is not None and of_logits.dtype == of_weight.dtype:
        of_weight.addmm_(of_logits.T, states)
    elif of_weight is not None:
        of_weight.add_(of_logits.T @ states)
    if of_bias is not None:
        of_bias.add_(of_logits.sum(0))
