"""Operations counted from the shape are those that torch counts in the real model's passes."""

from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import flops
from benchmarks.flops import Text, Work, forward, update
from benchmarks.workloads import posed
from mssr_rl.models import fused, lean
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.load import load_model, load_processor
from mssr_rl.models.score import score

GROUP, TOKENS = 4, 20


@pytest.fixture(autouse=True)
def by_torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch counts its own operations only."""
    monkeypatch.setattr(fused, "usable", lambda *_: False)


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model("tiny", "cpu", "float32")


def counted(model: Any, *, backward: bool) -> tuple[int, Work]:
    """Torch's count of one scoring pass over one problem, without padding; and what it read."""
    prompts = PromptEncoder(load_processor("tiny"), 1024).block(posed(0, 1))
    token_BT = torch.full((GROUP, TOKENS), 50)
    # The fused attention of CPUs is no operation that torch counts; the plain one is.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        scored = score(
            model, lean.read_prompts(model, prompts), (token_BT, torch.ones(GROUP, TOKENS)), 1.0
        )
        if backward:
            scored.logprob_BT.sum().backward()
    model.zero_grad()
    patches = [pictures.patches for pictures in prompts.pictures]
    work = Work([int(prompts.mask_PL.sum())], patches, [[TOKENS] * GROUP])
    return int(counter.get_total_flops()), work


def seen_but_masked(model: Any, work: Work) -> int:
    """Torch counts whole squares of attention; we, what causal attention lets a token see."""
    text = Text.of(model.config)
    prompt, length = work.prompt_P[0], TOKENS - 1
    in_prompt = (text.layers - 1) * (prompt * (prompt - 1) // 2)  # the last layer has one row
    in_responses = text.layers * GROUP * (length * (length - 1) // 2)
    return (in_prompt + in_responses) * text.per_pair // text.layers


def test_the_forward_pass_is_counted_as_torch_counts_it(model: Any) -> None:
    by_torch, work = counted(model, backward=False)
    ours = forward(model.config, work) + seen_but_masked(model, work)
    assert ours == by_torch


def test_an_update_is_counted_as_torch_counts_it_within_a_percent(model: Any) -> None:
    by_torch, work = counted(model, backward=True)
    ours = update(model.config, work) + 3 * seen_but_masked(model, work)
    assert ours == pytest.approx(by_torch, rel=0.01)  # pixels want no gradient: torch has less


def test_a_longer_prompt_is_paid_once_and_looked_at_by_every_response() -> None:
    text = Text(layers=1, D=1, F=1, Q=1, K=1, H=1, V=1)
    assert (text.per_token, text.per_pair, text.head) == (14, 4, 2)
    read = flops._read
    assert read(text, 3, 0) == 3 * 14 + 6 * 4  # looks at 1, 2 and 3 tokens
    assert read(text, 2, 3) == 2 * 14 + 9 * 4  # at 4 and 5
    assert text.only_kept == 2 * (2 + 3)  # queries, output, feed-forward
    assert flops._prompt(text, 3) == read(text, 3, 0) - 2 * 10 - 3 * 4
