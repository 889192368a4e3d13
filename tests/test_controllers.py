"""Controllers of the loss: numbers by hand, the peers' own numbers, laws, and a resumed run."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.advantage import Batch
from mssr_rl.check_algo.batches import draw
from mssr_rl.config import Config
from mssr_rl.controllers import Coefficients, initial_coefficients, steered
from mssr_rl.engine_protocol import Engine
from mssr_rl.errors import UserError
from mssr_rl.loss import Loss
from mssr_rl.run import trainer

PEERS = json.loads((Path(__file__).parent / "algos" / "peers.json").read_text())["outputs"]


def batch_with(kl: float, entropy: float, rollouts: int = 256) -> Batch:
    """A batch of one token a rollout, with these means; k1 is linear, so `kl` is exact."""
    one = torch.ones(rollouts, 1, dtype=torch.float64)
    rows = torch.arange(rollouts)
    return Batch(
        reward_B=one[:, 0],
        problem_B=rows,
        mask_BT=one,
        logprob_BT=-one,
        entropy_BT=entropy * one,
        logprob_ref_BT=-one - kl,
    )


def test_the_weight_of_the_kl_moves_by_at_most_a_fifth_of_the_share_of_the_horizon() -> None:
    loss = Loss(kl_coef=0.5, kl_estimator="k1", adaptive_kl=0.01, adaptive_kl_horizon=1000)
    start = initial_coefficients(loss)
    assert start == Coefficients(0.5, 0.0)
    far = steered(loss, start, batch_with(kl=0.05, entropy=0.0, rollouts=100))
    assert far.loss.kl_coef == 0.5  # a step trains with the weight of before
    assert far.after.kl == pytest.approx(0.5 * (1 + 0.2 * 0.1))
    near = steered(loss, start, batch_with(kl=0.009, entropy=0.0, rollouts=100))
    assert near.after.kl == pytest.approx(0.5 * (1 - 0.1 * 0.1))
    assert near.metrics == {"actor/kl_coef": 0.5}


def test_the_weight_of_the_entropy_rises_while_entropy_is_low_and_is_0_while_it_is_high() -> None:
    loss = Loss(adaptive_entropy=0.2, adaptive_entropy_step=0.1, adaptive_entropy_max=0.15)
    now = Coefficients(0.01, 0.05)
    low = steered(loss, now, batch_with(kl=0.0, entropy=0.19))
    assert (low.loss.entropy_coef, low.after.entropy) == pytest.approx((0.05, 0.15))
    high = steered(loss, now, batch_with(kl=0.0, entropy=0.21))
    assert (high.loss.entropy_coef, high.after.entropy) == (0.0, 0.0)
    assert high.metrics == {"actor/entropy_coef": 0.0}


def test_a_loss_without_a_target_is_left_alone() -> None:
    loss = Loss(entropy_coef=0.3)
    for kl in (0.0, 5.0):
        same = steered(loss, initial_coefficients(loss), batch_with(kl=kl, entropy=0.1))
        assert same.loss == loss
        assert same.after == Coefficients(0.01, 0.3)
        assert same.metrics == {}


def test_both_weights_follow_the_peers_own_controllers() -> None:
    rng = np.random.default_rng(77)
    loss = Loss(
        kl_coef=0.2,
        kl_estimator="k1",
        adaptive_kl=0.01,
        adaptive_entropy=0.2,
        adaptive_entropy_step=0.001,
        adaptive_entropy_max=0.005,
    )
    kls, entropies = rng.random(20) * 0.03, rng.random(20) * 0.4
    now = initial_coefficients(loss)
    for kl, entropy, weight, (value, on) in zip(
        kls, entropies, PEERS["adaptive kl"], PEERS["adaptive entropy"], strict=True
    ):
        moved = steered(loss, now, batch_with(kl=kl, entropy=entropy))
        assert moved.after.kl == pytest.approx(weight, abs=1e-6)
        assert moved.after.entropy == pytest.approx(value, abs=1e-6)
        assert moved.loss.entropy_coef == (now.entropy if on else 0.0)
        now = moved.after


@given(st.integers(0, 50), st.floats(1e-4, 1.0), st.floats(1e-4, 2.0), st.floats(1e-6, 1.0))
def test_weights_stay_in_their_bounds(seed: int, kl: float, entropy: float, coef: float) -> None:
    loss = Loss(kl_coef=coef, adaptive_kl=kl, adaptive_kl_horizon=64, adaptive_entropy=entropy)
    now = initial_coefficients(loss)
    for step in range(5):
        batch = draw(seed + step, 4)
        noisy = torch.where(batch.mask_BT == 0, torch.nan, batch.logprob_BT)
        moved = steered(loss, now, batch._replace(logprob_BT=noisy))  # padding has no part
        share = 0.2 * len(batch.reward_B) / 64
        assert (1 - share) * now.kl <= moved.after.kl <= (1 + share) * now.kl
        assert 0 <= moved.after.entropy <= 1
        now = moved.after


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"adaptive_kl": 0.0}, "adaptive_kl=0.0 must be above 0"),
        ({"adaptive_kl": 0.1, "kl_coef": 0.0}, "must be null where kl_coef=0"),
        ({"adaptive_kl_horizon": 9.0}, "null unless adaptive_kl is set"),
        ({"adaptive_entropy_max": 0.1}, "null unless adaptive_entropy is set"),
    ],
)
def test_an_option_without_effect_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Loss(**options)


STEERED = (
    *("algo=mssr", "algo.adaptive_kl=1e-4", "algo.adaptive_kl_horizon=200"),
    *("algo.adaptive_entropy=1.5", "algo.adaptive_entropy_step=0.2", "checkpoint.every=1"),
)


@pytest.mark.slow
def test_a_steered_run_resumes_bit_for_bit_and_learns_otherwise(
    configure: Callable[..., Config], make_engine: Callable[[Config], Engine]
) -> None:
    def rows(folder: Path) -> list[dict[str, Any]]:
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        timed = ("timing_s/", "budget/seconds")
        return [
            {k: v for k, v in json.loads(line).items() if not k.startswith(timed)} for line in lines
        ]

    whole = rows(trainer.run(configure(*STEERED, "name=whole"), make_engine))
    trainer.run(configure(*STEERED, "name=half", "budget.rollouts=192"), make_engine)
    half = rows(trainer.run(configure(*STEERED, "name=half", "resume=true"), make_engine))
    assert whole == half
    assert len({row["actor/kl_coef"] for row in whole}) > 3
    assert len({row["actor/entropy_coef"] for row in whole}) > 1
    plain = rows(trainer.run(configure("algo=mssr", "name=plain"), make_engine))
    assert plain[0]["actor/entropy"] == whole[0]["actor/entropy"]
    assert plain[-1]["actor/entropy"] != whole[-1]["actor/entropy"]
    assert "actor/kl_coef" not in plain[0]
