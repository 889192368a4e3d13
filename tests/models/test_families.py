"""Twins of the field's families train as plain transformers says they should."""

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers

from mssr_rl.data.pictures import decode
from mssr_rl.errors import UserError
from mssr_rl.models import families, general, grouped_attention, processor
from mssr_rl.models.chunked_scores import MemoryUse
from mssr_rl.models.general import General, GeneralPrompts, PromptReading
from mssr_rl.models.lora import LoraOptions
from mssr_rl.problem import Example

from transformers.integrations.sdpa_attention import sdpa_attention_forward  # isort: skip


def module(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


trial = module("trial")
NAMES = list(trial.twins.TWINS)
VISION = NAMES[: NAMES.index("qwen2")]
# Linear attention sums in blocks of 64 tokens, token by token when sampling: other roundings.
LOOSE = {"qwen3_5": 1e-4}
VARIED = ("qwen3_vl", "idefics3", "gemma2")  # one of each kind, for every commit


@pytest.fixture(scope="module")
def twin(tmp_path_factory):
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = trial.twins.write(name, tmp_path_factory.mktemp(name))
        return made[name]

    return folder


def marked(names):
    return [n if n in VARIED else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_family_agrees_with_transformers_trains_and_resumes_bit_for_bit(name, twin, tmp_path):
    result = trial.trial(name, twin(name), tmp_path)
    assert result.gap <= LOOSE.get(name, trial.GAP)
    assert result.rescored <= LOOSE.get(name, trial.GAP)
    assert result.greedy
    assert result.moved
    assert result.resumed


@pytest.mark.slow
@pytest.mark.parametrize("name", marked(VISION))
def test_a_block_is_what_the_processor_makes_of_the_batch(name, twin):
    engine = trial.engine_of(twin(name))
    if not isinstance(engine.family, General):
        pytest.skip("encodes by itself; tests/models/test_lean.py holds it to the processor")
    problems = trial.PICTURED  # one picture and two, of several sizes
    family, processor = engine.family, engine.family.encoder.processor
    block = family.block(problems, "cpu")
    processor.tokenizer.padding_side = "left"
    processor.tokenizer.pad_token_id = family.vocabulary.pad
    stock = processor(
        text=[family.encoder.text(problem) for problem in problems],
        images=[[decode(data) for data in problem.images] for problem in problems],
        add_special_tokens=name == "paligemma",
        padding=True,
        return_tensors="pt",
    )
    ours = block.prompts.inputs
    assert ours.keys() <= stock.keys()
    for key in ours:
        assert torch.equal(ours[key], stock[key]), key


@pytest.mark.parametrize("name", marked([n for n in NAMES if n != "qwen2_5_vl"]))
def test_a_shared_prompt_scores_as_if_every_rollout_had_read_its_own(name, twin):
    engine = trial.engine_of(twin(name))
    problems = trial.problems_for(engine)
    family, block = engine.family, engine.family.block(problems, "cpu")
    generator = torch.Generator().manual_seed(0)
    token_BT = torch.randint(20, 500, (2 * len(problems), 7), generator=generator)
    mask_BT = (torch.arange(7) < torch.arange(2 * len(problems))[:, None] % 7 + 1).float()
    with torch.no_grad():
        reading = family.read(engine.policy, block)
        shared = family.score(engine.policy, reading, (token_BT, mask_BT), 1.0)
        alone = PromptReading(block.prompts, None, None)
        apart = family.score(engine.policy, alone, (token_BT, mask_BT), 1.0)
    tolerance = LOOSE.get(name, trial.GAP)
    assert torch.allclose(shared.logprob_BT, apart.logprob_BT, atol=tolerance)
    assert torch.allclose(shared.entropy_BT, apart.entropy_BT, atol=tolerance)
    assert (shared.logprob_BT[mask_BT == 0] == 0).all()


def test_what_all_prompts_begin_with_is_read_once_with_the_same_numbers_and_gradients(twin):
    engine = trial.engine_of(twin("llama"))
    shown = tuple(Example(f"{n} + {n}?", str(2 * n)) for n in range(8))
    problems = [trial.replace(problem, examples=shown) for problem in trial.TEXT]
    family, block = engine.family, engine.family.block(problems, "cpu")
    start = general.common_start(block.prompts)
    assert start >= general.WORTH_SHARING
    found = []
    for worth in (general.WORTH_SHARING, start + 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(general, "WORTH_SHARING", worth)
            reading = family.read(engine.policy, block)
        token_BT = torch.arange(40, 40 + 3 * 2 * len(problems)).view(-1, 3)
        scored = family.score(engine.policy, reading, (token_BT, torch.ones(token_BT.shape)), 1.0)
        weight = engine.policy.model.layers[0].self_attn.k_proj.weight
        found.append((scored.logprob_BT, torch.autograd.grad(scored.logprob_BT.sum(), weight)[0]))
    for shared, apart in zip(*found, strict=True):
        assert torch.allclose(shared, apart, atol=trial.GAP, rtol=1e-4)


def test_a_common_start_leaves_every_prompt_a_token_of_its_own():
    def rows(*texts, **more):
        inputs = [{"input_ids": torch.tensor([list(t.encode())]), **more} for t in texts]
        return GeneralPrompts({}, tuple(inputs))

    assert general.common_start(rows("abcd", "abxd")) == 2
    assert general.common_start(rows("ab", "abxd")) == 1
    assert general.common_start(rows("ab", "ab")) == 1
    assert general.common_start(rows("ab")) == 0
    assert general.common_start(rows("abcd", "abxd", pixel_values=torch.zeros(1))) == 0


@pytest.mark.parametrize("queries", [1, 5])
@pytest.mark.parametrize("masked", [None, torch.bool, torch.float32])
def test_attention_without_copies_of_keys_is_torchs(queries, masked):
    generator = torch.Generator().manual_seed(0)
    sizes = ((2, 6, queries, 8), (2, 3, 9, 8), (2, 3, 9, 8))
    given = [torch.randn(size, generator=generator, requires_grad=True) for size in sizes]
    seen = torch.rand((2, 1, queries, 9), generator=generator) < 0.7
    seen[..., 0] = True
    mask = seen if masked is torch.bool else torch.zeros(seen.shape).masked_fill(~seen, -1e9)
    module = SimpleNamespace(num_key_value_groups=2, is_causal=False)
    told = {"attention_mask": None if masked is None else mask, "scaling": 0.3}
    ours, _ = grouped_attention.attention(module, *given, **told)
    torchs, _ = sdpa_attention_forward(module, *given, **told)
    assert torch.allclose(ours, torchs, atol=1e-6)
    weight = torch.randn(ours.shape, generator=generator)
    gradients = (torch.autograd.grad((x * weight).sum(), given) for x in (ours, torchs))
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


def test_a_rollout_depends_on_its_own_numbers_not_on_its_neighbours(twin):
    engine = trial.engine_of(twin("gemma2"))
    many = engine.rollout(trial.TEXT, 4, trial.Sampling(max_response_tokens=9), seed=3)
    alone = trial.engine_of(twin("gemma2"))
    alone.options = trial.replace(alone.options, micro_batch=1)
    one = alone.rollout(trial.TEXT, 4, trial.Sampling(max_response_tokens=9), seed=3)
    assert one.responses == many.responses


@pytest.mark.slow
def test_whoever_asks_for_a_picture_processor_is_given_pillows(twin, monkeypatch):
    stock = transformers.AutoImageProcessor
    monkeypatch.setattr(stock, "from_pretrained", stock.from_pretrained)  # put back afterwards
    processor.prefer_pillow()
    for name in ("internvl", "idefics3"):
        found = stock.from_pretrained(str(twin(name)), trust_remote_code=False)
        assert type(found) is type(
            trial.engine_of(twin(name)).family.encoder.processor.image_processor
        )
        assert type(found).__name__.endswith("Pil")


def test_a_text_model_refuses_a_picture_by_the_name_of_its_problem(twin):
    engine = trial.engine_of(twin("gemma2"))
    with pytest.raises(UserError, match="square has a picture, and this model reads text only"):
        engine.rollout(trial.PICTURED[:1], 1, trial.Sampling(), seed=0)


def test_a_picture_sign_in_a_text_is_refused_by_the_name_of_its_problem(twin):
    engine = trial.engine_of(twin("qwen3_vl"))
    forged = trial.replace(trial.TEXT[0], key="forged", prompt="how many <|image_pad|>?")
    with pytest.raises(UserError, match="the text of forged holds"):
        engine.family.length(forged)


def test_a_family_that_needs_nothing_of_its_own_needs_no_file(twin):
    own = {name for name in families.known() if name in NAMES}
    assert own == {"paligemma", "smolvlm"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_few_logits_at_once_change_no_number(name, twin):
    """Scores and gradients of a family, with the output layer applied to three tokens at a time."""
    engine = trial.engine_of(twin(name))
    problems = trial.problems_for(engine)
    rollouts = engine.rollout(problems, 2, trial.Sampling(max_response_tokens=6), seed=1)
    reading = engine._read(problems)
    response = rollouts.token_BT, rollouts.mask_BT
    if isinstance(engine.family, General) and not engine.family.scores_states(engine.policy):
        with pytest.raises(UserError, match="changes its logits after the output layer"):
            engine.family.prepare(engine.policy, MemoryUse(3))
        assert engine.policy.config.get_text_config().final_logit_softcapping
        return
    found = []
    for memory in (MemoryUse(), MemoryUse(3)):
        engine.family.prepare(engine.policy, memory)
        scored = engine.family.score(engine.policy, reading, response, 1.0)
        weights = [p for p in engine.policy.parameters() if p.requires_grad]
        total = (scored.logprob_BT * rollouts.mask_BT).sum() + scored.entropy_BT.sum()
        gradient = torch.autograd.grad(total, weights, allow_unused=True, retain_graph=True)
        found.append([*scored, *(g for g in gradient if g is not None)])
    whole, some = found
    assert len(whole) == len(some)
    for a, b in zip(whole, some, strict=True):
        bound = LOOSE.get(name, 1e-5) * max(1.0, float(b.abs().max()))
        assert (a - b).abs().max() <= bound


@pytest.mark.slow
@pytest.mark.parametrize("name", ["qwen2", "qwen3_vl", "gemma3", "qwen3_5"])
def test_layers_computed_again_and_lora_give_the_same_numbers(name, twin):
    """Gradients with checkpointing; the reference and the sampler with adapters."""
    usual = trial.engine_of(twin(name))
    problems = trial.problems_for(usual)
    rollouts = usual.rollout(problems, 2, trial.Sampling(max_response_tokens=6), seed=1)
    response, gradients, kept = (rollouts.token_BT, rollouts.mask_BT), [], []
    for memory in (MemoryUse(), MemoryUse(checkpointing=True)):
        engine = trial.LocalEngine(replace(usual.options, checkpointing=memory.checkpointing))
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(noted(sizes), lambda x: x):
            scored = engine.family.score(engine.policy, engine._read(problems), response, 1.0)
        kept.append(sum(sizes))
        total = (scored.logprob_BT * rollouts.mask_BT).sum()
        gradients.append(torch.autograd.grad(total, engine.weights.parameters, allow_unused=True))
    bound = LOOSE.get(name, 1e-5)
    for one, again in zip(*gradients, strict=True):
        if one is not None:
            assert (one - again).abs().max() <= bound * max(1.0, float(one.abs().max()))
    assert kept[1] < 0.8 * kept[0]  # elements kept for the backward pass
    adapted = trial.LocalEngine(
        replace(usual.options, lora=LoraOptions(rank=4, alpha=8), lr=1e-2, checkpointing=True)
    )
    advantage = torch.ones(len(rollouts.mask_BT), 1) * rollouts.mask_BT
    plan = trial.UpdatePlan(loss=trial.Loss(), samples_per_update=2 * len(problems), seed=1)
    adapted.update(rollouts, advantage, rollouts.logprob_BT, plan)
    frozen = usual.reference_logprob(rollouts)
    assert torch.equal(adapted.reference_logprob(rollouts), frozen)
    assert (adapted.logprob(rollouts, range(len(problems))) - frozen).abs().max() > 1e-3
    sampled = adapted.rollout(problems, 2, trial.Sampling(max_response_tokens=6), seed=1)
    again = adapted.logprob(sampled, range(len(problems)))
    assert (again - sampled.logprob_BT).abs().max() <= 10 * bound


def noted(sizes: list[int]):
    def keep(x: torch.Tensor) -> torch.Tensor:
        sizes.append(x.numel())
        return x

    return keep
