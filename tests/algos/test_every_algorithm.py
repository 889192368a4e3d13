"""What holds for everything that is registered beyond the laws of `mssr_rl.conformance`."""

from typing import Any

import pytest

from mssr_rl.algos import algorithms
from mssr_rl.conformance.batches import draw
from mssr_rl.loss import Loss

every = pytest.mark.parametrize("name", algorithms.names())


@every
def test_more_rollouts_than_the_minimum_are_fine(name: str) -> None:
    advantage, grouped = algorithms.make(name).advantage, draw(9, 8)
    found = advantage.update(grouped.reward_B, grouped, advantage.init(12)).advantage
    assert found.isfinite().all()
    assert (found != 0).any()


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
