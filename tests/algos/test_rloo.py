"""RLOO against hand-worked groups."""

import pytest
import torch

from mssr_rl.advantage import Batch
from mssr_rl.algos import algorithms


@pytest.mark.parametrize(
    ("rewards", "group_size", "expected"),
    [
        ([1, 0, 0, 0, 1, 1, 0, 0], 4, [1, *[-1 / 3] * 3, *[2 / 3] * 2, *[-2 / 3] * 2]),
        ([1, 0, 1, 1], 2, [1, -1, 0, 0]),
    ],
)
def test_a_rollout_is_compared_with_the_others(
    rewards: list[float], group_size: int, expected: list[float]
) -> None:
    tokens = torch.ones(len(rewards), 1, dtype=torch.float64)
    reward_B = torch.tensor(rewards, dtype=torch.float64)
    rows = torch.arange(len(rewards)) // group_size
    b = Batch(reward_B, rows, tokens, -tokens, group_size=group_size)
    rloo = algorithms.make("rloo").advantage
    found = rloo.update(reward_B, b, rloo.init(len(rewards))).advantage
    assert found.flatten().tolist() == pytest.approx(expected, abs=1e-9)


def test_it_asks_for_groups_and_has_few_options() -> None:
    rloo = algorithms.make("rloo")
    assert (rloo.min_group_size, rloo.default_group_size) == (2, 8)
    paths = {option.path[0] for option in algorithms.options("rloo").values()}
    assert paths == {"kl_in", "loss"}
