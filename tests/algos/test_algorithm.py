"""What the trainer may rely on, checked when an algorithm is made."""

import pytest

from mssr_rl.advantage import subtract_group_mean, to_tokens
from mssr_rl.algos.algorithm import Algorithm
from mssr_rl.errors import UserError
from mssr_rl.loss import Loss


def test_an_advantage_per_rollout_is_not_enough() -> None:
    wanted = "'half' ends|'half': its advantage goes from one value per rollout to one per rollout"
    with pytest.raises(UserError, match=wanted):
        Algorithm(name="half", advantage=subtract_group_mean(), loss=Loss())


def test_the_default_group_cannot_be_smaller_than_the_smallest() -> None:
    with pytest.raises(UserError, match="default_group_size=1 must be at least min_group_size=2"):
        Algorithm(name="odd", advantage=to_tokens(), loss=Loss(), min_group_size=2)


def test_a_group_holds_somebody() -> None:
    with pytest.raises(UserError, match="min_group_size=0 must be at least 1"):
        Algorithm(name="none", advantage=to_tokens(), loss=Loss(), min_group_size=0)
