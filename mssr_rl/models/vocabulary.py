"""Draw tokens from logits, and compute their log-probabilities and entropies.

Sampling, scoring and training all use these functions. Structural tokens (pictures, turn marks)
cannot be sampled. Their logits are minus infinity in every pass, so sampled and rescored
log-probabilities belong to the same distribution.

On a CPU in float32, the compiled `kernels/vocabulary.c` reads each row of logits once. Everywhere
else torch's operations are used; a test compares the two.

Shapes: N positions, V vocabulary.
"""

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mssr_rl.engine_protocol import Sampling
from mssr_rl.errors import UserError
from mssr_rl.models import fused

if TYPE_CHECKING:
    from transformers import (
        GenerationConfig,
        PreTrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )


class Vocabulary(NamedTuple):
    """The tokens that must not be sampled, those that end a response, and the padding token."""

    banned: Tensor  # int64 ids
    end: Tensor  # int64 ids
    pad: int

    @classmethod
    def of(cls, model: "PreTrainedModel") -> "Vocabulary":
        """Return the vocabulary of a loaded model, from its config and generation config."""
        return cls.read(model.config, model.generation_config, model.device)

    @classmethod
    def read(
        cls,
        model_config: "PreTrainedConfig",
        config: "GenerationConfig",
        device: torch.device | str,
        tokenizer: "PreTrainedTokenizerBase | None" = None,
    ) -> "Vocabulary":
        """Return the vocabulary from a model's config and generation config, without the weights.

        The tokenizer's end token ends a response too: in a base model with a chat template, the
        generation config often names another one.
        """
        ends = _end_ids(model_config, config, tokenizer)
        size = model_config.get_text_config().vocab_size
        # An end token is never forbidden, even if the folder suppresses it: no response could end.
        banned = sorted({*(config.suppress_tokens or []), *_structural(model_config)} - {*ends})
        pads = (config.pad_token_id, getattr(tokenizer, "pad_token_id", None), ends[0])
        pad = next(token for token in pads if token is not None)
        forbidden = torch.tensor([t for t in banned if t < size], dtype=torch.int64, device=device)
        return cls(forbidden, torch.tensor(ends, device=device), pad)


_STRUCTURE = re.compile(r"(image|video|vision|audio|boi|eoi|boa|eoa)\w*_token_(id|index)$")


def _structural(model_config: "PreTrainedConfig") -> list[int]:
    """Return the token ids that a config names for pictures, sound, and their start and end."""
    named = vars(model_config).items()
    return [token for name, token in named if _STRUCTURE.search(name) and isinstance(token, int)]


def _end_ids(
    model_config: "PreTrainedConfig",
    config: "GenerationConfig",
    tokenizer: "PreTrainedTokenizerBase | None",
) -> list[int]:
    """Return the token ids that end a response, each once, those of the generation config first.

    Raises:
        UserError: neither the model's files nor its tokenizer name an end token.
    """
    text = model_config.get_text_config()
    named = config.eos_token_id
    named = getattr(text, "eos_token_id", None) if named is None else named
    ends = list(named) if isinstance(named, list) else [named]
    ends.append(getattr(tokenizer, "eos_token_id", None))
    known = list(dict.fromkeys(end for end in ends if end is not None))
    if not known:
        raise UserError(
            "the model's folder names no end token (eos_token_id), neither in its "
            "generation_config.json nor in its config or tokenizer: nothing would end a response"
        )
    return known


class TokenScores(NamedTuple):
    """The log-probabilities of N tokens, and the entropies at their positions."""

    logprob_N: Tensor  # float32 [nat]
    entropy_N: Tensor  # float32 [nat], of the whole distribution at the token's position


def log_probabilities(logits_NV: Tensor, vocabulary: Vocabulary, temperature: float) -> Tensor:
    """Return log-softmax(logits / temperature) over the allowed tokens: float32, shape [N, V]."""
    logits = logits_NV.float().index_fill(-1, vocabulary.banned, float("-inf"))
    return (logits if temperature == 1 else logits / temperature).log_softmax(-1)


def entropy(logprob_NV: Tensor) -> Tensor:
    """Return the entropy -sum p log p of each row [nat], shape [N]. A forbidden token adds 0."""
    # The clamp turns 0 times minus infinity, which is NaN, into 0.
    return -(logprob_NV.exp() * logprob_NV.clamp(min=-1e4)).sum(-1)


# ---- given tokens ---------------------------------------------------------------------------


def score_tokens(
    logits_NV: Tensor, token_N: Tensor, vocabulary: Vocabulary, temperature: float
) -> TokenScores:
    """Return the log-probability of one token for each row, and the row's entropy.

    Logits are divided by the temperature. The result is differentiable.
    """
    if fused.usable(logits_NV):
        given = (logits_NV, token_N, vocabulary.banned, temperature)
        return TokenScores(*_Scored.apply(*given))  # type: ignore[no-untyped-call]
    logprob_NV = log_probabilities(logits_NV, vocabulary, temperature)
    return _scores(logprob_NV, token_N)


def _scores(logprob_NV: Tensor, token_N: Tensor) -> TokenScores:
    return TokenScores(logprob_NV.gather(-1, token_N[:, None])[:, 0], entropy(logprob_NV))


class _Scored(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *told: Any) -> tuple[Tensor, Tensor]:
        logits, token, banned, ctx.temperature = told
        logits, token = logits.contiguous(), _each(token.long(), logits)
        logprob, entropy, log_sum = (logits.new_empty(len(logits)) for _ in range(3))
        words = (banned, len(banned), ctx.temperature)
        fused.run("token_scores", logits, token, *words, logprob, entropy, log_sum, *logits.shape)
        ctx.save_for_backward(logits, token, banned, entropy, log_sum)
        return logprob, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        logits, token, banned, entropy, log_sum = ctx.saved_tensors
        outer, of_logits = [g.contiguous() for g in gradients], torch.empty_like(logits)
        words = (banned, len(banned), ctx.temperature)
        places = (*outer, logits, token, *words, entropy, log_sum, of_logits)
        fused.run("token_scores_gradient", *places, *logits.shape)
        return of_logits, None, None, None


def _each(x_N: Tensor, logits_NV: Tensor) -> Tensor:
    """Return one number for each row of logits, as a contiguous tensor for a kernel.

    A single number is repeated. Raises RuntimeError if the numbers do not fit the rows.
    """
    return x_N.expand(len(logits_NV)).contiguous()


# ---- a token drawn --------------------------------------------------------------------------


def drawable(sampling: Sampling) -> bool:
    """Return whether the compiled kernel supports these sampling settings."""
    return sampling.top_p == 1 or sampling.temperature == 0


def draw(
    logits_NV: Tensor, uniform_N: Tensor, vocabulary: Vocabulary, sampling: Sampling
) -> tuple[Tensor, TokenScores]:
    """Return one drawn token for each row, and its scores; there is no gradient.

    The row's uniform number in [0, 1) decides: the token is the one whose interval of the
    cumulative distribution contains it. Temperature 0 takes the most likely token, with the scores
    at temperature 1. Scores may be 0 if `sampling.scored` is False; this saves memory.
    """
    temperature = sampling.temperature or 1.0
    if fused.usable(logits_NV) and drawable(sampling):
        numbers_N = _each(uniform_N.float(), logits_NV) if sampling.temperature else None
        return _drawn(logits_NV, numbers_N, vocabulary, temperature)
    logprob_NV = log_probabilities(logits_NV, vocabulary, temperature)
    token_N = _choose(logprob_NV, uniform_N, sampling)
    if not sampling.scored:
        return token_N, TokenScores(*torch.zeros(2, len(token_N), device=token_N.device))
    return token_N, _scores(logprob_NV, token_N)


def _drawn(
    logits_NV: Tensor, uniform_N: Tensor | None, vocabulary: Vocabulary, temperature: float
) -> tuple[Tensor, TokenScores]:
    logits, banned = logits_NV.contiguous(), vocabulary.banned
    token = torch.empty(len(logits), dtype=torch.int64)
    scores = TokenScores(*(logits.new_empty(len(logits)) for _ in range(2)))
    words = (banned, len(banned), temperature)
    fused.run("draw", logits, uniform_N, *words, token, *scores, *logits.shape)
    return token, scores


def _choose(logprob_NV: Tensor, uniform_N: Tensor, sampling: Sampling) -> Tensor:
    if sampling.temperature == 0:
        return logprob_NV.argmax(-1)
    # In float64: in float32 the sum over a large vocabulary would swallow small probabilities.
    p_NV = logprob_NV.double().exp()
    if sampling.top_p < 1:
        ordered, order = p_NV.sort(-1, descending=True)
        # The sum before a token is compared, so the token that crosses `top_p` stays.
        outside = ordered.cumsum(-1) - ordered >= sampling.top_p
        p_NV = p_NV.scatter(-1, order, ordered.masked_fill(outside, 0))
    cumulative = p_NV.cumsum(-1)
    # Times the last sum, which is not exactly 1: `top_p` and rounding take something away.
    target_N1 = uniform_N.double()[:, None] * cumulative[:, -1:]
    # With `right`, a token of probability 0 is never chosen, not even by the number 0.
    chosen_N = torch.searchsorted(cumulative, target_N1, right=True)[:, 0]
    return chosen_N.clamp(max=p_NV.shape[-1] - 1)  # larger only if there are NaNs
