"""The sampler: the distribution it draws from, its independence of neighbours, and its limits."""

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from mssr_rl.engine_protocol import Sampling
from mssr_rl.envs.families import row
from mssr_rl.models import fused, lean
from mssr_rl.models.decode import sample
from mssr_rl.models.encode import PromptEncoder
from mssr_rl.models.family import ScoringBatches, score_by_parts
from mssr_rl.models.load import load_model, load_processor
from mssr_rl.models.qwen2_5_vl import Qwen25VL
from mssr_rl.models.sampled import Sampled, texts
from mssr_rl.models.score import score
from mssr_rl.models.vocabulary import Vocabulary, log_probabilities
from mssr_rl.problem import Problem


def problem(family: str, index: int) -> Problem:
    made = row(family, "val", 1, index)
    image = made["images"][0]["bytes"]
    return Problem(key=made["id"], prompt=made["problem"], answer=made["answer"], images=(image,))


PROBLEMS = [problem(family, i) for i, family in enumerate(("bar", "clock", "dice", "frac"))]


@pytest.fixture(scope="module")
def tiny():
    model = load_model("tiny", "cpu", "float32")
    return model, PromptEncoder(load_processor("tiny"), 1024)


def draw(tiny, problems, uniform_BT, **options):
    model, encoder = tiny
    sampling = Sampling(max_response_tokens=uniform_BT.shape[1], **options)
    with torch.no_grad():
        return sample(
            model, lean.read_prompts(model, encoder.block(problems)), sampling, uniform_BT
        )


def uniform(b: int, t: int, seed: int = 0):
    return torch.rand(b, t, generator=torch.Generator().manual_seed(seed))


def test_sampled_log_probabilities_and_entropies_equal_rescored_ones(tiny):
    model, encoder = tiny
    s = draw(tiny, PROBLEMS, uniform(16, 60))
    with torch.no_grad():
        again = score(
            model, lean.read_prompts(model, encoder.block(PROBLEMS)), (s.token_BT, s.mask_BT), 1.0
        )
    assert torch.allclose(s.logprob_BT, again.logprob_BT, atol=1e-4)
    assert torch.allclose(s.entropy_BT, again.entropy_BT, atol=1e-4)


def test_a_rollout_does_not_depend_on_which_others_run_beside_it(tiny):
    numbers = uniform(16, 60)
    together = draw(tiny, PROBLEMS, numbers)
    alone = draw(tiny, PROBLEMS[2:3], numbers[8:12])
    width = alone.token_BT.shape[1]
    assert torch.equal(
        together.token_BT[8:12, :width] * alone.mask_BT.long(),
        alone.token_BT * alone.mask_BT.long(),
    )


def test_a_response_ends_with_its_end_token_and_holds_no_structural_token(tiny):
    model, _ = tiny
    s = draw(tiny, PROBLEMS, uniform(64, 60))
    vocabulary = Vocabulary.of(model)
    sampled = s.token_BT[s.mask_BT.bool()]
    assert not torch.isin(sampled, vocabulary.banned).any()
    assert model.config.image_token_id in vocabulary.banned.tolist()
    for tokens, mask, truncated in zip(s.token_BT, s.mask_BT, s.truncated_B, strict=True):
        length = int(mask.sum())
        ends = torch.isin(tokens[:length], vocabulary.end)
        assert bool(ends[-1]) != bool(truncated)
        assert not ends[:-1].any()
        assert mask[:length].all()
        assert not mask[length:].any()
        assert (tokens[length:] == vocabulary.pad).all()


@pytest.mark.parametrize("kernels", [True, False])
def test_memory_that_nobody_has_written_is_never_read(tiny, monkeypatch, kernels):
    if not kernels:
        monkeypatch.setattr(fused, "usable", lambda *_: False)
    numbers = uniform(64, 60)
    expected = draw(tiny, PROBLEMS, numbers)
    assert len(set(expected.mask_BT.sum(1).tolist())) > 4  # rows leave the block one by one
    torch.use_deterministic_algorithms(True)  # fills such memory with what is no number
    try:
        found = draw(tiny, PROBLEMS, numbers)
    finally:
        torch.use_deterministic_algorithms(False)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one, other)


def test_compiled_kernels_sample_what_torch_samples(tiny, monkeypatch):
    numbers = uniform(64, 60)
    ours = draw(tiny, PROBLEMS, numbers)
    monkeypatch.setattr(fused, "usable", lambda *_: False)
    theirs = draw(tiny, PROBLEMS, numbers)
    width = min(ours.token_BT.shape[1], theirs.token_BT.shape[1])
    same = (ours.token_BT[:, :width] == theirs.token_BT[:, :width]).all(1)
    assert same.float().mean() > 0.95  # a number may lie on an edge of two tokens
    for name in ("mask_BT", "logprob_BT", "entropy_BT"):
        one, other = (getattr(s, name)[same, :width] for s in (ours, theirs))
        assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("kernels", [True, False])
def test_what_nobody_wants_scored_has_the_same_tokens_and_zeros(tiny, monkeypatch, kernels):
    if not kernels:
        monkeypatch.setattr(fused, "usable", lambda *_: False)
    scored = draw(tiny, PROBLEMS, uniform(8, 60))
    unscored = draw(tiny, PROBLEMS, uniform(8, 60), scored=False)
    assert torch.equal(scored.token_BT, unscored.token_BT)
    assert not unscored.logprob_BT.any()
    assert not unscored.entropy_BT.any()


def test_the_length_limit_marks_a_response_as_truncated(tiny):
    assert draw(tiny, PROBLEMS, uniform(4, 3)).truncated_B.all()


def test_tokens_come_with_the_frequencies_of_their_probabilities(tiny):
    model, encoder = tiny
    _, last = lean.read_prompts(model, encoder.block(PROBLEMS[:1]))
    numbers = (torch.arange(4000) + 0.5)[:, None] / 4000  # an even grid of draws
    first = draw(tiny, PROBLEMS[:1], numbers).token_BT[:, 0]
    with torch.no_grad():
        p = log_probabilities(model.lm_head(last), Vocabulary.of(model), 1.0).exp()[0]
    counted = torch.bincount(first, minlength=len(p)) / 4000
    assert (counted - p).abs().max() < 2 / 4000


def test_greedy_takes_the_likeliest_token_whatever_the_draw(tiny):
    a = draw(tiny, PROBLEMS, uniform(4, 50, 1), temperature=0.0)
    b = draw(tiny, PROBLEMS, uniform(4, 50, 2), temperature=0.0)
    assert torch.equal(a.token_BT, b.token_BT)


def test_top_p_never_draws_outside_the_nucleus(tiny):
    model, encoder = tiny
    with torch.no_grad():
        _, last = lean.read_prompts(model, encoder.block(PROBLEMS))
        p = log_probabilities(model.lm_head(last), Vocabulary.of(model), 1.0).exp()
    ordered = p.sort(-1, descending=True).values
    size = (ordered.cumsum(-1) < 0.5).sum(-1) + 1  # the fewest tokens that hold half the mass
    least = ordered.gather(1, size[:, None] - 1)
    drawn = draw(tiny, PROBLEMS, uniform(400, 1), top_p=0.5).logprob_BT.exp()
    assert (drawn.view(4, 100) >= least - 1e-6).all()


def test_what_pads_a_block_is_not_read_even_where_it_is_a_word():
    words = Tokenizer(models.WordLevel({"!": 0, "two": 1, "<end>": 2}, unk_token="!"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>")
    mask_BT = torch.tensor([[1.0, 1, 0], [1, 1, 1]])
    empty_BT = torch.zeros(2, 3)
    token_BT = torch.tensor([[1, 2, 0], [1, 0, 2]])
    block = Sampled(token_BT, mask_BT, empty_BT, empty_BT, torch.zeros(2, dtype=torch.bool))
    assert texts(tokenizer, block) == ["two", "two !"]


def test_a_block_scored_by_parts_has_the_same_numbers(tiny):
    model, encoder = tiny
    s = draw(tiny, PROBLEMS, uniform(8, 40))
    with torch.no_grad():
        reading, response = (
            lean.read_prompts(model, encoder.block(PROBLEMS)),
            (s.token_BT, s.mask_BT),
        )
        whole = score(model, reading, response, 1.0)
        family = Qwen25VL(encoder, Vocabulary.of(model))
        parts = score_by_parts(family, model, reading, response, ScoringBatches(4, 3, 1.0))
    assert torch.allclose(whole.logprob_BT, parts.logprob_BT, atol=1e-5)
    assert torch.allclose(whole.entropy_BT, parts.entropy_BT, atol=1e-5)
