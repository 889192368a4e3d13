"""LoRA in the local engine: the reference, the merged policy, and what is trained and saved."""

from dataclasses import replace

import pytest
import torch

from mssr_rl.engine.local import LocalEngine, LocalOptions
from mssr_rl.engine.master_weights import AdamWOptions, MasterWeights
from mssr_rl.engine_protocol import Rollouts, Sampling, UpdatePlan
from mssr_rl.envs.families import row
from mssr_rl.errors import UserError
from mssr_rl.loss import Loss
from mssr_rl.models.load import load_model
from mssr_rl.models.lora import LoraOptions, freeze_vision
from mssr_rl.problem import Problem
from mssr_rl.prompts import posed

pytestmark = pytest.mark.slow

# Rank 32, because matrices of other shapes do not fit the compiled kernels, which must add them.
LORA = LoraOptions(rank=32, alpha=64, seed=3)
OPTIONS = LocalOptions(model="tiny", lr=1e-2, lora=LORA)
FULL = replace(OPTIONS, lora=None)
SAMPLING = Sampling(max_response_tokens=24)


def problem(family: str, index: int) -> Problem:
    made = row(family, "val", 1, index)
    image = made["images"][0]["bytes"]
    asked = Problem(key=made["id"], prompt=made["problem"], answer=made["answer"], images=(image,))
    return posed(asked, "short")


PROBLEMS = [problem(family, i) for i, family in enumerate(("bar", "dice"))]


@pytest.fixture(scope="module")
def rollouts() -> Rollouts:
    return LocalEngine(FULL).rollout(PROBLEMS, 2, SAMPLING, seed=1)


def train(engine: LocalEngine, rollouts: Rollouts) -> None:
    advantage = torch.linspace(-1, 1, 4)[:, None] * rollouts.mask_BT
    plan = UpdatePlan(loss=Loss(), samples_per_update=4, seed=5)
    engine.update(rollouts, advantage, rollouts.logprob_BT, plan)


@pytest.fixture(scope="module")
def trained(rollouts) -> LocalEngine:
    engine = LocalEngine(OPTIONS)
    train(engine, rollouts)
    train(engine, rollouts)
    return engine


def masters(engine: LocalEngine) -> torch.Tensor:
    return torch.cat([m.detach().flatten() for m in engine.weights.masters])


def test_the_reference_is_the_frozen_model_to_the_last_bit(trained, rollouts):
    frozen = LocalEngine(FULL).reference_logprob(rollouts)
    assert torch.equal(trained.reference_logprob(rollouts), frozen)
    moved = trained.logprob(rollouts, range(2)) - frozen
    assert moved.abs().max() > 0.1


def test_only_adapters_are_trained_and_the_first_lines_say_how_many(trained):
    assert all(".lora_" in name for name in trained.weights.names)
    layers = [n for n in trained.weights.names if ".lora_A." in n]
    assert any("visual.blocks" in name for name in layers)
    assert any("visual.merger" in name for name in layers)
    for name, weight in trained.weights.named():
        if ".lora_B." in name:
            assert weight.abs().max() > 0, f"{name} got no gradient"
    assert f"of {len(layers)} linear layers" in trained.computes


def test_the_saved_policy_is_the_policy_with_its_adapters(trained, rollouts, tmp_path):
    """In its own process of loading: an ordinary folder, without peft."""
    trained.save(tmp_path)
    plain = LocalEngine(replace(FULL, model=str(tmp_path / "policy")))
    assert {n for n, _ in plain.policy.named_parameters()} == {
        n for n, _ in LocalEngine(FULL).policy.named_parameters()
    }
    wanted = trained.logprob(rollouts, range(2))
    assert torch.allclose(plain.logprob(rollouts, range(2)), wanted, atol=1e-5)
    import peft  # after mssr_rl.models, which keeps a torchvision out that does not load

    alone = peft.PeftModel.from_pretrained(LocalEngine(FULL).policy, tmp_path / "adapter")
    with torch.no_grad():
        from_peft = alone.get_base_model()
        scored = trained._logprob(
            from_peft, lambda p: _read(trained, from_peft, p), rollouts, [0, 1]
        )
    assert torch.allclose(scored, wanted, atol=1e-5)


def _read(engine: LocalEngine, model, problems):
    return engine.family.read(model, engine._block(problems))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_was_saved_continues_bit_for_bit(rollouts, tmp_path, dtype):
    options = replace(OPTIONS, dtype=dtype, lr=1e-4)
    engine, other = LocalEngine(options), LocalEngine(options)
    train(engine, rollouts)
    engine.save(tmp_path)
    train(engine, rollouts)
    other.load(tmp_path)
    train(other, rollouts)
    assert torch.equal(masters(engine), masters(other))
    assert torch.equal(engine.logprob(rollouts, range(2)), other.logprob(rollouts, range(2)))


@pytest.mark.parametrize("kernels", ["compiled", "torch"])
def test_sampling_uses_the_adapters(trained, monkeypatch, kernels):
    if kernels == "torch":
        monkeypatch.setattr("mssr_rl.models.fused.usable", lambda *_: False)
    sampled = trained.rollout(PROBLEMS, 2, SAMPLING, seed=1)
    again = trained.logprob(sampled, range(2))
    assert torch.allclose(sampled.logprob_BT, again, atol=1e-4)


def test_a_seed_decides_the_adapters_and_leaves_other_random_numbers(trained):
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    one = LocalEngine(OPTIONS)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(masters(one), masters(LocalEngine(OPTIONS)))
    assert not torch.equal(
        masters(one), masters(LocalEngine(replace(OPTIONS, lora=LORA._replace(seed=4))))
    )


def test_targets_and_the_frozen_vision_tower_choose_the_layers():
    some = LocalEngine(replace(OPTIONS, lora=LORA._replace(targets=("q_proj", "v_proj"))))
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in some.weights.names} == {
        "q_proj",
        "v_proj",
    }
    language = LocalEngine(
        replace(OPTIONS, freeze_vision=True, lora=LORA._replace(language_only=True))
    )
    assert all("language_model" in name for name in language.weights.names)


def test_a_frozen_vision_tower_stays_and_the_rest_is_trained(rollouts):
    engine = LocalEngine(replace(FULL, freeze_vision=True))
    before = {n: p.detach().clone() for n, p in engine.policy.named_parameters()}
    train(engine, rollouts)
    for name, weight in engine.policy.named_parameters():
        frozen = ".visual." in name
        assert torch.equal(weight, before[name]) == frozen, name


def test_a_frozen_tower_where_there_is_none_is_refused():
    from transformers import LlamaConfig, LlamaForCausalLM

    small = LlamaConfig(
        vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    with pytest.raises(UserError, match="LlamaForCausalLM has no vision tower"):
        freeze_vision(LlamaForCausalLM(small))


def test_unknown_targets_and_other_checkpoints_are_refused(trained, tmp_path):
    with pytest.raises(UserError, match=r"lora_targets=\['nothing'\] names no linear layer"):
        LocalEngine(replace(OPTIONS, lora=LORA._replace(targets=("nothing",))))
    with pytest.raises(UserError, match=r"has no adapter/adapter_model.safetensors"):
        trained.load(tmp_path)
    trained.save(tmp_path)
    other = LocalEngine(replace(OPTIONS, lora=LORA._replace(rank=4)))
    with pytest.raises(UserError, match="another rank"):
        other.load(tmp_path)


def test_weights_in_main_memory_get_the_same_updates():
    """On a GPU this is optimiser_offload; here only the copies are tried."""
    models = [load_model("tiny", "cpu", "float32") for _ in range(2)]
    options = AdamWOptions(1e-3, (0.9, 0.999), 0.01, 1.0)
    both = [
        MasterWeights(m, options, offload=away)
        for m, away in zip(models, (False, True), strict=True)
    ]
    for weights in both:
        weights.accumulate(tuple(torch.ones_like(p) for p in weights.parameters))
        weights.step()
    assert both[1].copied
    assert not both[0].copied
    for one, other in zip(both[0].parameters, both[1].parameters, strict=True):
        assert torch.equal(one, other)
