"""Scores over a vocabulary, some tokens at a time, against all tokens at once."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from mssr_rl.models.chunked_scores import MemoryUse, score_states
from mssr_rl.models.vocabulary import TokenScores, Vocabulary, score_tokens

N, D = 23, 8
REAL_VOCABULARY = 151_936  # Qwen2.5-VL's


def scored(
    at_once: int, *, dtype: torch.dtype = torch.float32, size: int = 97, used: str = "both"
) -> dict[str, Any]:
    """Return scores, and gradients of a weighted sum of those that are used."""
    generator = torch.Generator().manual_seed(3)
    head = torch.nn.Linear(D, size)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    head = head.to(dtype)
    states_ND = torch.randn(N, D, generator=generator).to(dtype).requires_grad_()
    token_N = torch.randint(2, size, (N,), generator=generator)
    weight_2N = torch.randn(2, N, generator=generator)
    vocabulary = Vocabulary(torch.tensor([0, 1]), torch.tensor([2]), 2)

    def score(logits_NV: Tensor, of_N: Tensor) -> TokenScores:
        return score_tokens(logits_NV, of_N, vocabulary, 0.7)

    found = score_states(states_ND, head, token_N, score, at_once)
    terms = {"logprob": found.logprob_N @ weight_2N[0], "entropy": found.entropy_N @ weight_2N[1]}
    total = sum(terms.values()) if used == "both" else terms[used]
    total.backward()
    return {
        "logprob": found.logprob_N.detach(),
        "entropy": found.entropy_N.detach(),
        "of states": states_ND.grad,
        "of weight": head.weight.grad,
        "of bias": head.bias.grad,
    }


@pytest.mark.parametrize("kernels", ["compiled", "torch"])
@pytest.mark.parametrize("used", ["both", "logprob", "entropy"])
def test_scores_and_gradients_are_those_of_all_tokens_at_once(used, kernels, monkeypatch):
    if kernels == "torch":
        monkeypatch.setattr("mssr_rl.models.fused.usable", lambda *_: False)
    whole = scored(N, used=used)
    for at_once in (1, 7, N - 1):
        some = scored(at_once, used=used)
        assert some.keys() == whole.keys()
        for name, expected in whole.items():
            assert torch.allclose(some[name], expected, atol=1e-5), name


def test_the_vocabulary_of_the_real_tokenizer_fits():
    whole, some = (scored(n, size=REAL_VOCABULARY, used="logprob") for n in (N, 5))
    for name, expected in whole.items():
        assert torch.allclose(some[name], expected, atol=1e-5), name


def test_gradients_of_half_precision_weights_are_summed_in_float32():
    """One rounding at the end, where a sum in bfloat16 would round after every chunk."""
    exact, whole, some = (
        scored(n, dtype=kind)["of weight"].double()
        for n, kind in ((N, torch.float32), (N, torch.bfloat16), (1, torch.bfloat16))
    )
    assert (some - exact).norm() <= 1.05 * (whole - exact).norm()


def test_how_many_tokens_have_logits_at_once_follows_from_the_vocabulary():
    assert MemoryUse().tokens_at_once(REAL_VOCABULARY) == 220
    assert MemoryUse().tokens_at_once(2**26) == 1
    assert MemoryUse(64).tokens_at_once(REAL_VOCABULARY) == 64


def peak(use: MemoryUse) -> int:
    """Return the peak above weights and states of 4,096 tokens, forward and backward [bytes].

    On fake tensors: what torch's operations, which a GPU would use, allocate. The gradient of the
    output layer is not counted, because every way of computing has it.
    """
    vocabulary = Vocabulary(torch.tensor([0]), torch.tensor([1]), 0)
    with FakeTensorMode(allow_non_fake_inputs=True):
        head = torch.nn.Linear(2048, REAL_VOCABULARY, bias=False)
        states_ND = torch.randn(4096, 2048, requires_grad=True)
        token_N = torch.zeros(4096, dtype=torch.int64)
        tracker = MemTracker()
        tracker.track_external(head, states_ND, token_N)
        with tracker:

            def score(logits_NV: Tensor, of_N: Tensor) -> TokenScores:
                return score_tokens(logits_NV, of_N, vocabulary, 1.0)

            at_once = use.tokens_at_once(REAL_VOCABULARY)
            scores = score_states(states_ND, head, token_N, score, at_once)
            torch.autograd.grad(scores.logprob_N.sum(), [states_ND, head.weight])
        (total,) = (each["Total"] for each in tracker.get_tracker_snapshot("peak").values())
        outside = 2 * head.weight.numel() + 2 * states_ND.numel()
        return int(total) - 4 * outside


def test_the_peak_is_less_than_a_tenth_of_that_of_all_logits(monkeypatch):
    monkeypatch.setattr("mssr_rl.models.fused.usable", lambda *_: False)
    whole, some = peak(MemoryUse(4096)), peak(MemoryUse())
    assert whole > 9 * 2**30
    assert some < whole / 10
