"""A step's numbers, from rollouts small enough to count by hand."""

import math

import pytest
import torch

from mssr_rl.advantage.transform import Batch
from mssr_rl.metrics import (
    advantage_metrics,
    length_metrics,
    policy_metrics,
    reward_metrics,
    rollout_metrics,
)

MASK = torch.tensor([[1.0, 1, 0], [1, 0, 0]])
BATCH = Batch(
    reward_B=torch.tensor([1.0, 0.0], dtype=torch.float64),
    problem_B=torch.tensor([0, 1]),
    mask_BT=MASK,
    logprob_BT=torch.tensor([[-1.0, -2.0, math.nan], [-0.5, math.nan, math.nan]]),
    entropy_BT=torch.tensor([[0.3, 0.6, math.nan], [0.9, math.nan, math.nan]]),
    logprob_ref_BT=torch.tensor([[-1.0, -1.5, math.nan], [-0.5, math.nan, math.nan]]),
)


def test_failures_are_counted_by_their_reason() -> None:
    reasons = [
        "correct",
        "wrong",
        "no_answer",
        "bad_format",
        "bad_format",
        "timeout",
        "error",
        "wrong",
    ]
    found = reward_metrics(torch.tensor([1.0] + [0.0] * 7), reasons)
    assert found == {
        "reward/mean": 1 / 8,
        "reward/wrong_fraction": 2 / 8,
        "reward/no_answer_fraction": 1 / 8,
        "reward/bad_format_fraction": 2 / 8,
        "reward/timeout_fraction": 1 / 8,
        "reward/error_fraction": 1 / 8,
    }


def test_advantages_are_measured_on_response_tokens_only() -> None:
    found = advantage_metrics(torch.tensor([[1.0, 0.0, 99], [-4, 99, 99]]), MASK)
    assert found == {
        "critic/advantages/mean": -1,
        "critic/advantages/std": pytest.approx(math.sqrt((4 + 1 + 9) / 3)),
        "critic/advantages/min": -4,
        "critic/advantages/max": 1,
        "critic/advantages/zero_fraction": pytest.approx(1 / 3),
    }


def test_a_vanishing_advantage_counts_as_none() -> None:
    a = torch.tensor([[9e-9, 2e-8]], dtype=torch.float64)
    found = advantage_metrics(a, torch.ones(1, 2))
    assert found["critic/advantages/zero_fraction"] == 0.5


def test_the_policy_is_measured_per_token() -> None:
    found = policy_metrics(BATCH)
    p_log_p = math.exp(-1) + 2 * math.exp(-2) + 0.5 * math.exp(-0.5)
    assert found["actor/entropy"] == pytest.approx(0.6)
    assert found["actor/plogp"] == pytest.approx(p_log_p / 3)
    assert found["actor/kl_ref"] == pytest.approx((math.exp(0.5) - 0.5 - 1) / 3)


def test_the_reference_kl_is_clamped_like_the_loss() -> None:
    far = BATCH._replace(logprob_ref_BT=torch.zeros_like(MASK) + 50)
    assert policy_metrics(far)["actor/kl_ref"] == 10


def test_what_a_batch_does_not_hold_is_not_reported() -> None:
    found = policy_metrics(BATCH._replace(entropy_BT=None, logprob_ref_BT=None))
    assert list(found) == ["actor/plogp"]


def test_lengths_are_counted_in_tokens() -> None:
    assert length_metrics(MASK, torch.tensor([True, False])) == {
        "response_length/mean": 1.5,
        "response_length/max": 2,
        "response_length/clip_ratio": 0.5,
    }


def test_a_step_reports_all_of_them_as_plain_numbers() -> None:
    truncated_B = torch.tensor([False, False])
    found = rollout_metrics(BATCH, torch.ones_like(MASK), ["correct", "wrong"], truncated_B)
    assert all(type(value) is float for value in found.values())
    assert {key.split("/")[0] for key in found} == {"reward", "critic", "actor", "response_length"}


def test_a_step_without_a_single_token_has_numbers_and_no_nan() -> None:
    empty = BATCH._replace(mask_BT=torch.zeros_like(MASK))
    truncated_B = torch.tensor([False, False])
    found = rollout_metrics(empty, torch.zeros_like(MASK), ["no_answer"] * 2, truncated_B)
    assert all(math.isfinite(value) for value in found.values())
    assert found["reward/no_answer_fraction"] == 1
