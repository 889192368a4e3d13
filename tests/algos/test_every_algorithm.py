"""What holds for everything that is registered beyond the laws of `mssr_rl.check_algo`."""

from typing import Any

import pytest
import torch

from mssr_rl.algos import algorithms
from mssr_rl.check_algo.batches import changed, draw
from mssr_rl.loss import Loss

every = pytest.mark.parametrize("name", algorithms.names())


@every
def test_more_rollouts_than_the_minimum_are_fine(name: str) -> None:
    advantage, grouped = algorithms.make(name).advantage, draw(9, 8)
    found = advantage.update(grouped.reward_B, grouped, advantage.init(12)).advantage
    assert found.isfinite().all()
    assert (found != 0).any()


@every
def test_groups_that_have_all_lost_a_rollout_are_smaller_groups(name: str) -> None:
    advantage, small = algorithms.make(name).advantage, draw(9, 4)
    group_B = torch.arange(len(small.reward_B)) // 4
    lost = small._replace(group_size=0, group_B=group_B)
    one, two = (advantage.update(b.reward_B, b, advantage.init(12)) for b in (small, lost))
    assert torch.equal(one.advantage, two.advantage)
    assert one.metrics == two.metrics


@every
def test_unequal_groups_give_numbers_even_where_one_rollout_is_left(name: str) -> None:
    advantage, whole = algorithms.make(name).advantage, draw(9, 4)
    group_B = torch.arange(len(whole.reward_B)) // 4
    kept = torch.arange(len(group_B)) % 4 < (1 + group_B % 4)  # 1, 2, 3, 4, 1, ...
    left = changed(whole, lambda x: x[kept])._replace(group_size=0, group_B=group_B[kept])
    found = advantage.update(left.reward_B, left, advantage.init(12)).advantage
    assert found.isfinite().all()
    assert found.shape == left.mask_BT.shape


@every
def test_every_option_has_a_line_of_help(name: str) -> None:
    undocumented = [o.name for o in algorithms.options(name).values() if not o.doc]
    assert undocumented == []


# What differs from the common loss by the definition of an algorithm of the paper's comparison or a
# relative of theirs. One that somebody adds may start from any loss.
DECLARED: dict[str, dict[str, Any]] = {
    **{name: {} for name in ("grpo", "rloo", "reinforce_pp", "reinforce_pp_baseline")},
    **{name: {} for name in ("batch_mean", "spo", "mvsr", "mssr", "mvsr_cross_modal")},
    "dr_grpo": {"kl_coef": 0.0, "aggregate": "seq-mean-token-sum-norm"},
    "dapo": {"clip_high": 0.28, "dual_clip": 10.0, "kl_coef": 0.0},
    "mvsr_entropy_loss": {"entropy_coef": 0.01},
}


@pytest.mark.parametrize("name", DECLARED)
def test_every_arm_starts_from_the_same_loss_but_for_what_defines_it(name: str) -> None:
    assert algorithms.make(name).loss == Loss(**DECLARED[name])
    given = {**DECLARED[name], "kl_coef": 0.5, "clip_high": 0.28}
    assert algorithms.make(name, kl_coef=0.5, clip_high=0.28).loss == Loss(**given)
