"""GRPO against hand-worked groups, TRL's and verl's variants among them."""

import pytest
import torch
from torch import Tensor

from mssr_rl.advantage import Batch
from mssr_rl.algos import algorithms
from mssr_rl.errors import UserError


def advantages(rewards: list[float], group_size: int, **options: object) -> Tensor:
    tokens = torch.ones(len(rewards), 1, dtype=torch.float64)
    reward_B = torch.tensor(rewards, dtype=torch.float64)
    rows = torch.arange(len(rewards)) // group_size
    b = Batch(reward_B, rows, tokens, -tokens, group_size=group_size)
    grpo = algorithms.make("grpo", **options).advantage
    return grpo.update(reward_B, b, grpo.init(len(rewards))).advantage.flatten()


@pytest.mark.parametrize(
    ("options", "one_of_four", "three_of_four", "two_of_four"),
    [
        ({}, 1.499997, -0.499999, 0.8660239038),
        ({"eps": 1e-4}, 1.49970006, -0.49990002, 0.8658754298),  # TRL's
        ({"std": "population"}, 1.7320468076, -0.5773489359, 0.999998),
    ],
)
def test_two_groups_of_four(
    options: dict[str, object], one_of_four: float, three_of_four: float, two_of_four: float
) -> None:
    found = advantages([1, 0, 0, 0, 1, 1, 0, 0], 4, **options).tolist()
    assert found[:4] == pytest.approx([one_of_four, *[three_of_four] * 3], abs=1e-6)
    assert found[4:] == pytest.approx([*[two_of_four] * 2, *[-two_of_four] * 2], abs=1e-6)


def test_a_group_of_eight_and_a_decided_one() -> None:
    found = advantages([1, *[0] * 7, *[1] * 8], 8).tolist()
    assert found[:8] == pytest.approx([2.4748667342, *[-0.3535523906] * 7], abs=1e-9)
    assert found[8:] == [0] * 8


def test_three_equal_rewards_that_are_no_binary_fractions_give_zero() -> None:
    assert advantages([0.1] * 3, 3).tolist() == [0] * 3


def test_it_asks_for_groups() -> None:
    grpo = algorithms.make("grpo")
    assert (grpo.min_group_size, grpo.default_group_size) == (2, 8)
    with pytest.raises(UserError, match=r"at least 2 rollouts per problem, not 1; set rollout\.gr"):
        advantages([1, 0], 1)
