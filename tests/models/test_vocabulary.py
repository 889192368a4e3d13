"""Scores and draws from logits: the compiled ones against torch's, the laws of both."""

import pytest
import torch

from mssr_rl.engine_protocol import Sampling
from mssr_rl.models import fused, native
from mssr_rl.models.vocabulary import (
    TokenScores,
    Vocabulary,
    draw,
    entropy,
    log_probabilities,
    score_tokens,
)

compiled = pytest.mark.skipif(
    native.kernels().library is None, reason=f"no compiled kernels: {native.kernels().why}"
)
WORDS = Vocabulary(banned=torch.tensor([0, 4, 6]), end=torch.tensor([2]), pad=0)
SCALES = [1e-3, 1.0, 30.0, 1e4]  # of logits: flat, ordinary, nearly decided, decided


def logits(n: int, v: int, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(n, v, generator=generator)).requires_grad_()


def allowed(n: int, v: int) -> torch.Tensor:
    """A token a row that is not banned."""
    generator = torch.Generator().manual_seed(n)
    return torch.randint(7, v, (n,), generator=generator)


def by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused, "usable", lambda *_: False)


def weighted(scores: TokenScores) -> torch.Tensor:
    """A sum in which every number has its own weight."""
    both = torch.stack(scores)
    return (both * torch.cos(torch.arange(both.numel()).view(both.shape))).sum()


@compiled
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.0])
@pytest.mark.parametrize(("n", "v"), [(5, 33), (1, 640), (3, 8)])
def test_compiled_scores_and_gradients_are_torchs(monkeypatch, n, v, scale, temperature):
    x, token = logits(n, v, scale), allowed(n, v)
    ours = score_tokens(x, token, WORDS, temperature)
    (of_ours,) = torch.autograd.grad(weighted(ours), x)
    by_torch(monkeypatch)
    theirs = score_tokens(x, token, WORDS, temperature)
    (of_theirs,) = torch.autograd.grad(weighted(theirs), x)
    for one, other in zip((*ours, of_ours), (*theirs, of_theirs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=2e-5)


@compiled
def test_an_offset_that_all_logits_share_costs_no_precision(monkeypatch):
    x, token = (logits(4, 50).detach() + 1e4).requires_grad_(), allowed(4, 50)
    (ours,) = torch.autograd.grad(weighted(score_tokens(x, token, WORDS, 1.0)), x)
    by_torch(monkeypatch)
    (theirs,) = torch.autograd.grad(weighted(score_tokens(x, token, WORDS, 1.0)), x)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@compiled
def test_either_gradient_alone_is_torchs(monkeypatch):
    x, token = logits(4, 50), allowed(4, 50)
    ours = [torch.autograd.grad(part.sum(), x) for part in (*_twice(x, token),)]
    by_torch(monkeypatch)
    theirs = [torch.autograd.grad(part.sum(), x) for part in (*_twice(x, token),)]
    for (one,), (other,) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def _twice(x: torch.Tensor, token: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (
        score_tokens(x, token, WORDS, 1.0).logprob_N,
        score_tokens(x, token, WORDS, 1.0).entropy_N,
    )


@compiled
def test_rows_need_not_lie_one_behind_the_other(monkeypatch):
    wide, token = logits(6, 80), allowed(3, 40)
    x = wide[::2, ::2]
    ours = score_tokens(x, token, WORDS, 1.0)
    by_torch(monkeypatch)
    for one, other in zip(ours, score_tokens(x, token, WORDS, 1.0), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kernels", [pytest.param(True, marks=compiled), False])
def test_what_is_no_number_stays_visible(monkeypatch, kernels):
    if not kernels:
        by_torch(monkeypatch)
    x = logits(2, 20).detach()
    x[0, 9] = float("nan")
    scores = score_tokens(x, torch.tensor([8, 8]), WORDS, 1.0)
    assert torch.isnan(torch.stack(scores)[:, 0]).all()
    assert torch.isfinite(torch.stack(scores)[:, 1]).all()
    drawn, of_drawn = draw(x, torch.tensor([0.5, 0.5]), WORDS, Sampling(max_response_tokens=1))
    assert torch.isnan(of_drawn.logprob_N[0])
    assert 0 <= int(drawn[0]) < 20


@compiled
@pytest.mark.parametrize("token", [-1, 20])
def test_a_token_beyond_the_vocabulary_is_refused_before_memory_is_read(token):
    with pytest.raises(IndexError, match="beyond the vocabulary"):
        score_tokens(logits(2, 20), torch.tensor([8, token]), WORDS, 1.0)


@compiled
@pytest.mark.parametrize("word", [-1, 20])
def test_a_ban_beyond_the_vocabulary_is_refused_before_memory_is_written(word):
    words, x, one = WORDS._replace(banned=torch.tensor([0, word])), logits(1, 20), torch.ones(1)
    with pytest.raises(IndexError, match="beyond the vocabulary"):
        score_tokens(x, one.long(), words, 1.0)
    with pytest.raises(IndexError, match="beyond the vocabulary"):
        draw(x.detach(), one / 2, words, Sampling(max_response_tokens=1))


@compiled
def test_there_must_be_a_token_and_a_number_for_every_row():
    with pytest.raises(RuntimeError, match="expand"):
        score_tokens(logits(3, 20), torch.tensor([8, 9]), WORDS, 1.0)
    with pytest.raises(RuntimeError, match="expand"):
        draw(logits(3, 20), torch.rand(2), WORDS, Sampling(max_response_tokens=1))


def test_no_tokens_have_no_scores():
    scores = score_tokens(logits(0, 20), torch.empty(0, dtype=torch.int64), WORDS, 1.0)
    assert [len(x) for x in scores] == [0, 0]


# ---- draws ----------------------------------------------------------------------------------


@compiled
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_compiled_draws_are_torchs(monkeypatch, scale, temperature):
    x = logits(500, 90, scale).detach()
    uniform = torch.rand(500, generator=torch.Generator().manual_seed(1))
    sampling = Sampling(max_response_tokens=1, temperature=temperature)
    token, scores = draw(x, uniform, WORDS, sampling)
    by_torch(monkeypatch)
    expected, of_expected = draw(x, uniform, WORDS, sampling)
    assert (token == expected).float().mean() >= 0.99  # a number may lie on an edge
    same = token == expected
    for one, other in zip(scores, of_expected, strict=True):
        torch.testing.assert_close(one[same], other[same], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kernels", [pytest.param(True, marks=compiled), False])
@pytest.mark.parametrize("number", [0.0, 1 - 2**-24])
def test_numbers_at_the_ends_never_draw_what_is_banned(monkeypatch, kernels, number):
    if not kernels:
        by_torch(monkeypatch)
    x = logits(200, 30).detach()
    x[:, 29] = -1e4  # allowed, and without a chance
    words = WORDS._replace(banned=torch.tensor([0, 1, 2, 28]))
    token, _ = draw(x, torch.full((200,), number), words, Sampling(max_response_tokens=1))
    assert set(token.tolist()) == {3 if number == 0 else 27}


@compiled
@pytest.mark.parametrize("temperature", [1.0, 0.0])
def test_rows_without_numbers_draw_what_may_be_drawn(temperature):
    words = WORDS._replace(banned=torch.tensor([0, 1, 2, 3]))
    sampling = Sampling(max_response_tokens=1, temperature=temperature)
    token, scores = draw(torch.full((2, 20), float("nan")), torch.rand(2), words, sampling)
    assert token.tolist() == [19, 19]
    assert torch.isnan(scores.logprob_N).all()


@compiled
def test_numbers_and_logits_may_be_wider_and_lie_apart(monkeypatch):
    x, uniform = logits(6, 80).detach()[::2, ::2], torch.rand(6, dtype=torch.float64)[::2]
    token, _ = draw(x, uniform, WORDS, Sampling(max_response_tokens=1))
    by_torch(monkeypatch)
    expected, _ = draw(x, uniform, WORDS, Sampling(max_response_tokens=1))
    assert token.tolist() == expected.tolist()


@pytest.mark.parametrize("kernels", [pytest.param(True, marks=compiled), False])
def test_scores_of_a_draw_are_those_of_its_token(monkeypatch, kernels):
    if not kernels:
        by_torch(monkeypatch)
    x, uniform = logits(40, 70).detach(), torch.linspace(0, 0.999, 40)
    token, scores = draw(x, uniform, WORDS, Sampling(max_response_tokens=1, temperature=0.8))
    for one, other in zip(scores, score_tokens(x, token, WORDS, 0.8), strict=True):
        torch.testing.assert_close(one, other)
    logprob = log_probabilities(x, WORDS, 0.8)
    torch.testing.assert_close(scores.entropy_N, entropy(logprob), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernels", [pytest.param(True, marks=compiled), False])
def test_the_likeliest_is_the_first_of_equals_and_scored_at_temperature_one(monkeypatch, kernels):
    if not kernels:
        by_torch(monkeypatch)
    x = torch.zeros(1, 20)
    x[0, [0, 9, 12]] = 3.0  # the first is banned
    greedy = Sampling(max_response_tokens=1, temperature=0.0, top_p=0.5)
    token, scores = draw(x, torch.tensor([0.99]), WORDS, greedy)
    assert token.tolist() == [9]
    expected = log_probabilities(x, WORDS, 1.0)[0, 9]
    torch.testing.assert_close(scores.logprob_N[0], expected, rtol=1e-5, atol=1e-6)
