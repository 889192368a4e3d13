"""gspo, cispo, sapo, gmpo, clip_cov, kl_cov and the newer baselines, on numbers worked by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mssr_rl.advantage import Batch
from mssr_rl.algos import algorithms
from mssr_rl.check_algo.batches import draw
from mssr_rl.errors import UserError
from mssr_rl.loss import PolicyLoss, Signal, Surrogate, losses


def on(loss: PolicyLoss, log_ratio: list[float], advantage: float, lp: float = -1.0) -> Surrogate:
    """One response whose tokens moved so far."""
    old = torch.full((1, len(log_ratio)), lp, dtype=torch.float64)
    new = old + torch.tensor([log_ratio], dtype=torch.float64)
    return loss.surrogate(
        Signal(new, old, torch.full_like(old, advantage), torch.ones_like(old), old * 0)
    )


def values(found: Surrogate) -> list[float]:
    values: list[float] = found.token_loss_BT[0].tolist()
    return values


def test_gspo_takes_the_mean_of_the_log_ratios() -> None:
    wide = losses.make("gspo", clip_low=0.05, clip_high=0.05)
    assert values(on(wide, [0.2, 0.0], 1.0)) == pytest.approx([-1.05] * 2)  # e^0.1 is clipped
    assert values(on(wide, [0.2, 0.0], -1.0)) == pytest.approx([1.1051709181] * 2)
    assert on(wide, [0.2, 0.0], 1.0).clipped_BT.all()


def test_gspo_gives_each_token_its_own_gradient() -> None:
    loss = losses.make("gspo", clip_high=9.0)
    new = torch.tensor([[0.2, 0.0]], dtype=torch.float64, requires_grad=True)
    old, a = torch.zeros_like(new), torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    found = loss.surrogate(Signal(new, old, a, torch.ones_like(old)))
    (gradient,) = torch.autograd.grad(found.token_loss_BT.sum(), new)
    assert gradient[0].tolist() == pytest.approx([-1.1051709181, -3.3155127542])


def test_cispo_bounds_the_weight_and_keeps_the_token() -> None:
    loss = losses.make("cispo", clip_high=1.0)
    found = on(loss, [1.0986122887, -1.0], 2.0)  # a ratio of 3 counts as 2; e^-1 counts as it is
    assert values(found) == pytest.approx([-4 * 0.0986122887, 4 * 0.3678794412])
    assert found.clipped_BT.tolist() == [[True, False]]


def test_sapo_fades() -> None:
    loss = losses.make("sapo")
    half_up = 0.4054651081  # a ratio of 1.5
    assert values(on(loss, [half_up], 2.0)) == pytest.approx([-4.9796746496])
    assert values(on(loss, [half_up], -2.0))[0] == pytest.approx(2 * 2.3935855667, abs=1e-6)


def test_gmpo_bounds_tokens_or_their_mean() -> None:
    by_token, by_sequence = losses.make("gmpo"), losses.make("gmpo", clip="sequence")
    assert values(on(by_token, [0.6, -0.2], 1.0)) == pytest.approx([-1.1051709181] * 2)  # .4, -.2
    assert values(on(by_token, [0.6, -0.2], -1.0)) == pytest.approx([1.2214027582] * 2)
    assert on(by_token, [0.6, -0.2], 1.0).clipped_BT.tolist() == [[True, False]]
    assert values(on(by_sequence, [0.6, -0.2], 1.0)) == pytest.approx([-1.2214027582] * 2)
    assert values(on(by_sequence, [0.9, 0.1], 1.0)) == pytest.approx([-1.4918246976] * 2)


def marks(name: str, options: dict[str, Any], advantage: list[float], lp: list[float]) -> Tensor:
    x = torch.tensor([advantage, lp], dtype=torch.float64)[:, None]
    signal = Signal(x[1], x[1], x[0], torch.ones_like(x[0]))
    found = losses.make(name, **options).mark(signal, torch.Generator().manual_seed(0))
    assert found is not None
    return found[0]


def test_the_covariance_losses_mark_what_entropy_falls_by() -> None:
    a, lp = [1.0, 1.0, -1.0], [-1.0, -3.0, -2.0]  # covariances 2/3, -2/3 and 0
    assert marks("kl_cov", {"fraction": 0.1}, a, lp).tolist() == [1, 0, 0]
    assert marks("kl_cov", {"fraction": 0.7}, a, lp).tolist() == [1, 0, 1]
    bounds = {"fraction": 1.0, "cov_low": -0.1, "cov_high": 0.5}
    assert marks("clip_cov", bounds, a, lp).tolist() == [0, 0, 1]
    assert marks("clip_cov", {"fraction": 1.0}, a, lp).tolist() == [0, 0, 0]


def test_a_marked_token_pays_or_learns_nothing() -> None:
    old = torch.full((1, 2), -1.0, dtype=torch.float64)
    moved = old + 0.5
    signal = Signal(
        moved, old, torch.ones_like(old), torch.ones_like(old), torch.eye(1, 2).double()
    )
    ratio = 1.6487212707
    assert values(losses.make("kl_cov").surrogate(signal)) == pytest.approx([0.5 - ratio, -ratio])
    assert values(losses.make("clip_cov").surrogate(signal)) == pytest.approx([0, -ratio])


def test_the_gate_of_flash_reinforce() -> None:
    loss = losses.make("flash_reinforce", delta=0.02)
    lp = -0.6931471806  # p = 1/2; at q = 0.6 and 0.5 the binary KLs are 0.0204109973 and 0
    moved = [0.1823215568, 0.0]
    assert values(on(loss, moved, 1.0, lp)) == pytest.approx([-1.2, -1.0])
    alone = on(loss, moved[:1], 1.0, lp)
    assert values(alone) == [0.0]
    assert alone.clipped_BT.tolist() == [[True]]


# ---- advantages ----


def batch(rewards: list[float], lengths: list[int], group: int = 1) -> Batch:
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).double()
    problem = torch.arange(len(rewards) // group).repeat_interleave(group)
    return Batch(
        reward_B=torch.tensor(rewards, dtype=torch.float64),
        problem_B=problem,
        mask_BT=mask,
        logprob_BT=-torch.arange(1.0, max(lengths) + 1).double() * mask,
        entropy_BT=torch.arange(1.0, max(lengths) + 1).double() * mask,
        group_size=group,
    )


def given(name: str, of: Batch, **options: Any) -> Tensor:
    step = algorithms.make(name, **options).advantage
    return step.update(of.reward_B, of, step.init(12)).advantage


def test_opo_weighs_rewards_by_length() -> None:
    found = given("opo", batch([1, 0], [1, 3], group=2))
    assert found[:, 0].tolist() == [0.75, -0.25]
    assert given("opo", batch([0.1] * 4, [1, 3, 2, 7], group=4)).abs().max() < 1e-9


def test_rae_moves_with_every_rollout_or_between_batches() -> None:
    three = batch([1, 0, 1], [2, 1, 1])
    assert given("rae", three, decay=0.5)[:, 0].tolist() == [1, -0.5, 0.75]
    assert given("rae", three, decay=0.5, moves="batch")[:, 0].tolist() == [1, 0, 1]
    step = algorithms.make("rae", decay=0.5).advantage
    state = step.update(three.reward_B, three, step.init(12)).state
    assert step.update(three.reward_B, three, state).advantage[0, 0] == 1 - 0.625


def test_c_rf_weighs_both_kinds_alike_and_filters_failures() -> None:
    found = given("c_rf", batch([1, 0, 0, 0], [2, 4, 1, 2]), kept=0.5)
    third = pytest.approx(-2 / 3)
    # Of a failure the least likely half, rounded up: here the later tokens.
    assert found.tolist() == [
        [2, 2, 0, 0],
        [0, 0, third, third],
        [third, 0, 0, 0],
        [0, third, 0, 0],
    ]
    assert given("c_rf", batch([1, 1], [1, 2]), kept=1.0).tolist() == [[1, 0], [1, 1]]
    assert given("c_rf", batch([0, 0], [1, 2]), kept=1.0).tolist() == [[-1, 0], [-1, -1]]


def test_flash_reinforce_may_keep_the_uncertain_tokens_of_failures() -> None:
    found = given("flash_reinforce", batch([1, 0], [2, 3]), kept=0.4)
    assert found.tolist() == [[0.5, 0.5, 0], [0, -0.5, -0.5]]
    blind = batch([1, 0], [2, 3])._replace(entropy_BT=None)
    with pytest.raises(UserError, match="needs the entropy of every token"):
        given("flash_reinforce", blind, kept=0.4)


def test_evidence_fades_by_step_and_not_by_visit() -> None:
    step = algorithms.make("spo_pp", prior="uniform", n_init=None).advantage
    one = batch([1], [2])
    first = step.update(one.reward_B, one, step.init(2))
    evidence = first.state[0]
    assert evidence.alpha_N.tolist() == [4.375, 3.5]  # (4 + 1) * 0.875, and nothing new
    assert evidence.beta_N.tolist() == [3.5, 3.5]
    quick = algorithms.make("spo_pp", prior="uniform", n_init=None, retention=0.1).advantage
    step, state = quick, quick.init(2)
    for _ in range(400):  # a tenth is left each time: without a floor nothing but 0 / 0
        state = step.update(one.reward_B, one, state).state
    assert state[0].value_N.isfinite().all()
    assert state[0].value_N[1] == pytest.approx(0.5)


def test_ea_grpo_adds_to_grpo_what_its_bonus_says() -> None:
    drawn = draw(3, 8)
    plain, shaped = given("grpo", drawn), given("ea_grpo", drawn, entropy_policy="rollout")
    assert drawn.entropy_BT is not None
    bonus = torch.minimum(plain.abs() / 2, 0.4 * drawn.entropy_BT) * drawn.mask_BT
    assert torch.allclose(shaped, plain + bonus, atol=1e-6)
    live = algorithms.make("ea_grpo")
    assert live.extras.live_shaping is not None
    assert torch.equal(given("ea_grpo", drawn), plain)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cispo", {"clip_low": 2.0}, "clip_low=2.0 must be between 0 and 1"),
        ("sapo", {"tau_pos": 0.0}, "tau_pos=0.0 must be above 0"),
        ("gmpo", {"log_clip_low": -1.0}, "log_clip_low=-1.0 must be at least 0"),
        ("clip_cov", {"cov_low": 6.0}, "cov_high=5.0 must be above cov_low=6.0"),
        ("kl_cov", {"fraction": 0.0}, "fraction=0.0 must be above 0 and at most 1"),
        ("flash_reinforce", {"delta": -1.0}, "delta=-1.0 must be at least 0"),
        (
            "flash_reinforce",
            {"kept": 0.0},
            "kept=0.0 must be above 0, and at most 1, which keeps all",
        ),
        ("rae", {"decay": 1.0}, "decay=1.0 must be at least 0 and below 1"),
        ("spo_pp", {"retention": 1.0}, "retention=1.0 must be above 0 and below 1"),
        ("spo_pp", {"prior": "uniform", "n_init": 8}, "n_init=8 must be at least 1, and null"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        algorithms.make(name, **options)


def test_papo_is_paid_for_needing_the_picture() -> None:
    made = algorithms.make("papo", perception_coef=0.02, masked=0.5)
    (term,) = made.extras.views
    assert term.coef == -0.02
    assert not term.live
    assert algorithms.make("papo", gradient="both").extras.views[0].live
    assert made.extras.nll_coef == 0.03
    with pytest.raises(UserError, match=r"perception_coef=0\.0 must be above 0"):
        algorithms.make("papo", perception_coef=0.0)
