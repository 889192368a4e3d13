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
            "cluster.lora_rank adds matrices to whole weights",
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
