"""The gap between sampler and trainer: its numbers, and when it is worth a warning."""

import pytest
import torch

from mssr_rl.config.compose import load
from mssr_rl.engine_protocol import Rollouts
from mssr_rl.metric_names import SAMPLER_GAP_MAX, SAMPLER_GAP_MEAN, SAMPLER_KL
from mssr_rl.run import mismatch


def rollouts(gap: float | None) -> Rollouts:
    """One response of two tokens; the padding's difference must not count."""
    logprob = torch.tensor([[-1.0, -2.0, 0.0]])
    other = None if gap is None else logprob + torch.tensor([[gap, -gap / 2, 9.0]])
    mask = torch.tensor([[1.0, 1, 0]])
    entropy = torch.zeros(1, 3)
    truncated = torch.tensor([False])
    return Rollouts((), 1, ("",), mask.long(), mask, logprob, entropy, truncated, 0, 0, other)


def test_mean_and_largest_gap_are_over_response_tokens() -> None:
    found = mismatch.metrics(rollouts(0.5))
    assert found == {
        SAMPLER_GAP_MEAN: pytest.approx(0.375),
        SAMPLER_GAP_MAX: pytest.approx(0.5),
        SAMPLER_KL: pytest.approx((0.1065306597 + 0.0340254167) / 2),  # e^d - d - 1, d = -.5, .25
    }


def test_an_engine_that_samples_itself_has_no_gap() -> None:
    assert mismatch.metrics(rollouts(None)) == {}
    assert mismatch.alarms({"step": 1}, load([])) == []


def test_a_mean_kl_above_the_fields_gate_is_told_first() -> None:
    (line,) = mismatch.alarms({"step": 3, SAMPLER_GAP_MAX: 9.0, SAMPLER_KL: 0.02}, load([]))
    assert "KL from sampler to trainer is 0.02 nat per token (step 3), above 0.015" in line
    assert "rollout.correction" in line


@pytest.mark.parametrize(
    ("words", "gap", "alarmed"),
    [
        ([], 4e-4, False),
        ([], 6e-4, True),
        (["engine.dtype=bfloat16"], 0.05, False),
        (["engine=openrlhf", "cluster.mismatch_alarm=1e-5"], 2e-5, True),
        (["rollout.top_p=0.9"], 1.0, False),  # another distribution, by design
    ],
)
def test_the_alarm_knows_what_rounding_explains(
    words: list[str], gap: float, alarmed: bool
) -> None:
    said = mismatch.alarms({"step": 3, SAMPLER_GAP_MAX: gap}, load(words))
    assert len(said) == alarmed
    assert all("step 3" in line and "another policy" in line for line in said)
