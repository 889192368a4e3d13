"""What an engine's settings must satisfy, and the words of the refusals."""

import pytest

from mssr_rl.config.compose import load
from mssr_rl.errors import UserError


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cluster.nodes=2"], "cluster.nodes=2 has no effect with engine=local"),
        (["fault.retries=0"], "fault.retries=0 has no effect with engine=local"),
        (
            ["rollout.correction=token_mask"],
            "rollout.correction=token_mask has no effect with engine=local",
        ),
        (
            ["engine=openrlhf", "rollout.correction_cap=3"],
            "rollout.correction_cap=3.0 has no effect with rollout.correction=none",
        ),
        (
            ["engine=openrlhf", "rollout.correction=token_mask", "cluster.importance_cap=2"],
            "cluster.importance_cap=2.0 is the older spelling",
        ),
        (
            ["engine=openrlhf", "rollout.correction=token_mask", "rollout.top_p=0.9"],
            "rollout.top_p=0.9 with rollout.correction: the sampler then draws",
        ),
        (
            ["engine=openrlhf", "rollout.correction=token_mask", "rollout.sampler=transformers"],
            "rollout.correction has no effect with rollout.sampler=transformers",
        ),
        (
            ["engine=openrlhf", "cluster.gpus_per_node=2"],
            "cluster.rollout_engines=1 × cluster.tensor_parallel=1 take 1; make them equal",
        ),
        (
            ["engine=openrlhf", "cluster.gpus_per_node=3", "cluster.rollout_engines=3"],
            "train.samples_per_update=64 cannot be split over 3 training ranks",
        ),
        (["engine=openrlhf", "cluster.sleep=true"], "cluster.sleep needs GPUs"),
        (
            ["engine=openrlhf", "cluster.lora_rank=8", "cluster.zero_stage=3"],
            "cluster.lora_rank needs whole weights on each rank",
        ),
        (
            [
                "engine=openrlhf",
                "engine.device=cuda",
                "cluster.sleep=true",
                "cluster.colocate=false",
            ],
            "it needs cluster.colocate",
        ),
        (
            ["engine=openrlhf", "engine.logit_tokens=64"],
            "engine.logit_tokens=64 has no effect with",
        ),
        (["engine=openrlhf", "train.micro_tokens=9"], "train.micro_tokens=9 has no effect with"),
        (
            ["engine=openrlhf", "engine.checkpointing=true"],
            "no effect with engine=openrlhf; use cluster.gradient_checkpointing",
        ),
        (
            ["engine=openrlhf", "engine.lora_rank=8"],
            "engine.lora_rank=8 has no effect with engine=openrlhf; use cluster.lora_rank",
        ),
        (["engine.lora_alpha=8"], "engine.lora_alpha=8 has no effect without engine.lora_rank"),
        (
            ["engine.device=cuda", "engine.lora_rank=8", "engine.reference_offload=true"],
            "engine.reference_offload=true has no effect with engine.lora_rank",
        ),
        (
            ["engine.optimiser_offload=true"],
            "engine.optimiser_offload=true has no effect on engine.device=cpu",
        ),
        (["rollout.sampler=transformers"], "rollout.sampler=transformers has no effect with"),
        (
            ["engine=openrlhf", "rollout.sampler=transformers", "cluster.prefix_caching=true"],
            "cluster.prefix_caching=true has no effect with rollout.sampler=transformers",
        ),
        (
            ["engine=openrlhf", "rollout.sampler=transformers", "cluster.zero_stage=3"],
            "use cluster.zero_stage=2",
        ),
    ],
)
def test_what_has_no_effect_or_does_not_fit_is_refused(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as refused:
        load(words)
    assert message in str(refused.value)


def test_the_same_settings_are_taken_where_they_fit() -> None:
    config = load(["engine=openrlhf", "cluster.gpus_per_node=2", "cluster.rollout_engines=2"])
    assert config.cluster.gpus_per_node == 2
    assert load(["engine=openrlhf", "fault.retries=0"]).fault.retries == 0


# ---- precision ---------------------------------------------------------------------------------


def test_a_precision_that_no_engine_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError, match="dtype=float16 is not one of float32, bfloat16"):
        load(["engine.dtype=float16"])


@pytest.mark.parametrize("engine", ["local", "openrlhf"])
def test_both_engines_train_in_half_precision(engine: str) -> None:
    assert load([f"engine={engine}", "engine.dtype=bfloat16"]).engine.dtype == "bfloat16"
