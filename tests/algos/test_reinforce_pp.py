"""REINFORCE++ in the convention of its authors' code: population variance over tokens."""

import pytest
import torch
from torch import Tensor

from mssr_rl.advantage import Batch
from mssr_rl.algos import algorithms


def advantages(rewards: list[float], lengths: list[int], gamma: float = 1.0) -> Tensor:
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).double()
    reward_B = torch.tensor(rewards, dtype=torch.float64)
    b = Batch(reward_B, torch.arange(len(rewards)), mask, -mask)
    step = algorithms.make("reinforce_pp", discount=gamma).advantage
    return step.update(reward_B, b, step.init(len(rewards))).advantage


def test_eight_tokens_half_of_them_right() -> None:
    # With Bessel's variance (EasyR1, verl) these would be 0.9354143321 and -0.9354143297.
    found = advantages([1, 0, 1], [3, 4, 1])
    assert found.tolist() == [[1, 1, 1, 0], [-1, -1, -1, -1], [1, 0, 0, 0]]


def test_four_responses_of_equal_length() -> None:
    found = advantages([1, 0, 0, 1], [5] * 4)
    assert torch.allclose(found, torch.tensor([1.0, -1, -1, 1]).double()[:, None].expand(4, 5))


@pytest.mark.parametrize("rewards", [[1, 1, 1], [0.1, 0.1, 0.1], [0]])
def test_without_a_difference_nothing_is_learned(rewards: list[float]) -> None:
    found = advantages(rewards, [2] * len(rewards))
    assert found.abs().max().item() < 1e-9


def test_a_discount_credits_the_end_more_than_the_beginning() -> None:
    found = advantages([1, 0], [3, 3], gamma=0.5)
    returns = torch.tensor([[0.25, 0.5, 1], [0, 0, 0]], dtype=torch.float64)
    expected = (returns - returns.mean()) / returns.std(correction=0)
    assert torch.allclose(found, expected)
    assert found[0, 2] > found[0, 1] > found[0, 0] > found[1, 0]


def test_one_rollout_per_problem_is_enough() -> None:
    made = algorithms.make("reinforce_pp")
    assert (made.min_group_size, made.default_group_size) == (1, 1)
