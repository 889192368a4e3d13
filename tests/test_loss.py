"""The surrogate, the KL estimators and the aggregations, against hand-worked numbers and laws."""

import math
from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mssr_rl.errors import UserError
from mssr_rl.loss import (
    Aggregate,
    Estimator,
    Loss,
    Signal,
    Surrogate,
    aggregate,
    kl,
    token_weights,
    weights_BT,
)

OLD = torch.tensor([[0.5, 0.2, 0.9, 1.0], [0.3, 0.6, 0.1, 0.4]], dtype=torch.float64).log()
NEW = torch.tensor([[0.75, 0.15, 0.9, 1.0], [0.3, 0.3, 0.6, 0.1]], dtype=torch.float64).log()
MASK = torch.tensor([[1.0, 1, 1, 0], [1, 1, 1, 1]], dtype=torch.float64)
ADVANTAGE = torch.tensor([[1.5], [-0.5]], dtype=torch.float64).expand(2, 4)


def surrogate(new: Tensor, old: Tensor, advantage: Tensor, loss: Loss) -> Surrogate:
    return loss.surrogate(Signal(new, old, advantage, torch.ones_like(new)))


aggregates = pytest.mark.parametrize("how", get_args(Aggregate))


def close(found: Tensor, expected: list[float], tolerance: float = 1e-9) -> bool:
    wanted = torch.tensor(expected, dtype=torch.float64)
    return torch.allclose(found.double().flatten(), wanted, rtol=0, atol=tolerance)


def test_the_clipped_surrogate_of_two_responses() -> None:
    token_loss = surrogate(NEW, OLD, ADVANTAGE, Loss()).token_loss_BT
    assert close(token_loss[0, :3], [-1.95, -1.125, -1.5])
    assert close(token_loss[1], [0.5, 0.4, 1.5, 0.4])


def test_without_the_dual_clip_an_exploded_ratio_counts_in_full() -> None:
    loss = Loss(dual_clip=None)
    assert close(surrogate(NEW, OLD, ADVANTAGE, loss).token_loss_BT[1], [0.5, 0.4, 3.0, 0.4])


def test_a_lower_upper_clip_binds_earlier() -> None:
    loss = Loss(clip_high=0.28)
    assert close(surrogate(NEW, OLD, ADVANTAGE, loss).token_loss_BT[0, :1], [-1.92])


def test_a_token_is_clipped_where_the_bound_decides() -> None:
    clipped = surrogate(NEW, OLD, ADVANTAGE, Loss()).clipped_BT
    # 0.5 -> 0.75 at A > 0 and the two that fell at A < 0; a fall at A > 0 is not held back.
    assert clipped.tolist() == [[True, False, False, False], [False, True, False, True]]


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("token-mean", -0.2535714286),
        ("seq-mean-token-mean", -0.4125),
        ("seq-mean-token-sum", -0.8875),
        ("seq-mean-token-sum-norm", -0.221875),  # over a constant of 4
    ],
)
def test_the_surrogate_aggregated(how: Aggregate, expected: float) -> None:
    token_loss = surrogate(NEW, OLD, ADVANTAGE, Loss()).token_loss_BT
    assert aggregate(token_loss, MASK, how, 4).item() == pytest.approx(expected, abs=1e-9)


def test_long_responses_weigh_more_only_in_the_token_mean() -> None:
    x, mask = _constant_responses([1.0, 5.0, -1.0, 2.0], [4, 1, 2, 1])
    assert aggregate(x, mask, "token-mean").item() == pytest.approx(1.125)
    assert aggregate(x, mask, "seq-mean-token-mean").item() == pytest.approx(1.75)
    assert aggregate(x, mask, "micro-token-mean", 2).item() == pytest.approx(0.9)
    norm_8 = surrogate(NEW, OLD, ADVANTAGE, Loss()).token_loss_BT
    found = aggregate(norm_8, MASK, "seq-mean-token-sum-norm", 8).item()
    assert found == pytest.approx(-0.1109375, abs=1e-9)


@aggregates
def test_micro_batches_add_up_to_the_whole(how: Aggregate) -> None:
    x, mask = _constant_responses([1.0, 5.0, -1.0, 2.0], [4, 1, 2, 1])
    weights = weights_BT(mask, how, 4)
    parts = [(x[rows] * weights[rows]).sum() for rows in ([0], [1, 3], [2])]
    assert float(sum(parts)) == pytest.approx(aggregate(x, mask, how, 4).item(), abs=1e-12)


@aggregates
def test_what_stands_in_the_padding_plays_no_part(how: Aggregate) -> None:
    x, mask = _constant_responses([1.0, 2.0], [3, 1])
    noisy = x.masked_fill(mask == 0, math.nan)
    wider = torch.nn.functional.pad(mask, (0, 2))
    expected = aggregate(x, mask, how, 4)
    assert aggregate(noisy, mask, how, 4) == expected
    padded = aggregate(torch.nn.functional.pad(x, (0, 2), value=7.0), wider, how, 4)
    assert torch.isclose(padded, expected, rtol=1e-15)  # a wider row may be summed in another order


@aggregates
@pytest.mark.parametrize("ratio", ["token", "sequence"])
def test_a_sequence_that_is_not_counted_leaves_the_others_the_weights_they_have_without_it(
    how: Aggregate, ratio: Any
) -> None:
    _, mask = _constant_responses([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [3, 1, 4, 2, 2, 1])
    constant = {"seq-mean-token-sum-norm": {"length_constant": 7}}.get(how, {})
    loss = Loss(aggregate=how, ratio=ratio, **constant)
    counted = torch.tensor([True, False, True, True, True, False])
    for found, alone in zip(
        token_weights(mask, loss, counted), token_weights(mask[counted], loss), strict=True
    ):
        assert torch.equal(found[counted], alone)
        assert not found[~counted].any()
    everyone = torch.ones(6, dtype=torch.bool)
    for found, plain in zip(
        token_weights(mask, loss, everyone), token_weights(mask, loss), strict=True
    ):
        assert torch.equal(found, plain)


@aggregates
def test_a_response_without_tokens_adds_nothing_and_breaks_nothing(how: Aggregate) -> None:
    x, mask = _constant_responses([4.0, 9.0], [2, 0])
    expected = {
        "token-mean": 4.0,
        "seq-mean-token-mean": 2.0,
        "seq-mean-token-sum": 4.0,
        "seq-mean-token-sum-norm": 1.0,
        "micro-token-mean": 4.0,
    }
    assert aggregate(x, mask, how, 4).item() == pytest.approx(expected[how])
    assert aggregate(x, torch.zeros_like(mask), how, 4) == 0


def test_the_three_estimators_of_three_tokens() -> None:
    logprob = torch.tensor([0.5, 0.2, 0.9], dtype=torch.float64).log()
    reference = torch.tensor([0.4, 0.3, 0.9], dtype=torch.float64).log()
    assert close(kl(logprob, reference, "k1"), [0.2231435513, -0.4054651081, 0])
    assert close(kl(logprob, reference, "k2"), [0.0248965222, 0.0822009769, 0])
    k3 = kl(logprob, reference, "k3")
    assert close(k3, [0.0231435513, 0.0945348919, 0])
    assert 0.01 * k3.mean().item() == pytest.approx(0.0003922615, abs=1e-10)


def test_the_clamps_are_those_of_the_frameworks_we_compare_with() -> None:
    far = torch.tensor([-50.0, 50.0])
    assert kl(far, torch.zeros(2), "k1").tolist() == [-20, 20]
    assert kl(far, torch.zeros(2), "k3").tolist() == [10, 10]
    jump = surrogate(far, torch.zeros(2), torch.ones(2), Loss(clip_high=1e30)).token_loss_BT
    assert jump.isfinite().all()


def test_a_tiny_drift_is_not_lost_to_rounding() -> None:
    found = kl(torch.tensor([1e-4]), torch.zeros(1), "k3").item()
    assert found == pytest.approx(5e-9, rel=1e-3)  # exp(-d) + d - 1 in float32 would give 0


logits = st.lists(st.floats(-3, 3), min_size=2, max_size=6)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_estimators_are_kl_in_expectation_and_never_negative(data: st.DataObject) -> None:
    log_p, log_q = _two_distributions(data)
    true = (log_p.exp() * (log_p - log_q)).sum()
    for estimator in ("k1", "k3"):
        assert torch.isclose((log_p.exp() * _unclamped(log_p, log_q, estimator)).sum(), true)
    positive: tuple[Estimator, ...] = ("k2", "k3")
    for estimator in positive:
        assert (kl(log_p, log_q, estimator) >= -1e-15).all()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_as_a_loss_k1_has_no_gradient_and_k2_and_k3_have_the_two_directions(
    data: st.DataObject,
) -> None:
    log_p, log_q = _two_distributions(data)
    z = log_p.clone().requires_grad_()
    expected = {
        "k1": torch.zeros_like(z),
        "k2": _gradient(z, lambda lp: (lp.exp() * (lp - log_q)).sum()),
        "k3": _gradient(z, lambda lp: (log_q.exp() * (log_q - lp)).sum()),
    }
    for estimator, wanted in expected.items():
        found = _gradient(
            z, lambda lp, e=estimator: (lp.detach().exp() * _unclamped(lp, log_q, e)).sum()
        )
        assert torch.allclose(found, wanted, atol=1e-9), estimator


@settings(max_examples=50, deadline=None)
@given(
    ratio=st.floats(0.01, 50),
    a=st.floats(-3, -0.01),
    dual=st.floats(1.01, 10),
    high=st.floats(0, 1),
)
def test_the_dual_clip_bounds_the_loss_of_a_wrong_token(
    ratio: float, a: float, dual: float, high: float
) -> None:
    old = torch.zeros(1, dtype=torch.float64)
    new = torch.full((1,), math.log(ratio), dtype=torch.float64)
    advantage = torch.full((1,), a, dtype=torch.float64)
    token_loss = surrogate(new, old, advantage, Loss(dual_clip=dual, clip_high=high)).token_loss_BT
    assert token_loss.item() <= -a * dual + 1e-9


@aggregates
def test_one_update_on_fresh_rollouts_follows_advantage_times_score(how: Aggregate) -> None:
    logprob = OLD.clone().requires_grad_()
    aggregate(surrogate(logprob, OLD, ADVANTAGE, Loss()).token_loss_BT, MASK, how, 4).backward()  # type: ignore[no-untyped-call]
    score = OLD.clone().requires_grad_()
    (-aggregate(ADVANTAGE * score, MASK, how, 4)).backward()  # type: ignore[no-untyped-call]
    assert logprob.grad is not None
    assert score.grad is not None
    assert torch.allclose(logprob.grad, score.grad)


def test_nothing_is_written_to() -> None:
    before = [x.clone() for x in (NEW, OLD, ADVANTAGE, MASK)]
    parts = surrogate(NEW, OLD, ADVANTAGE, Loss())
    aggregate(parts.token_loss_BT, MASK, "token-mean")
    for estimator in get_args(Estimator):
        kl(NEW, OLD, estimator)
    after = (NEW, OLD, ADVANTAGE, MASK)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_low": 1.5}, "clip_low=1.5 must be between 0 and 1"),
        ({"clip_high": -0.1}, "clip_high=-0.1 must be at least 0"),
        ({"dual_clip": 1.0}, "dual_clip=1.0 must be above 1, or null to switch it off"),
        ({"kl_coef": -1.0}, "kl_coef=-1.0 must be at least 0"),
        ({"entropy_coef": -1.0}, "entropy_coef=-1.0 must be at least 0"),
    ],
)
def test_a_loss_that_makes_no_sense_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}$"):
        Loss(**options)  # type: ignore[arg-type]


def _constant_responses(values: list[float], lengths: list[int]) -> tuple[Tensor, Tensor]:
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).double()
    return torch.tensor(values, dtype=torch.float64)[:, None] * mask, mask


def _two_distributions(data: st.DataObject) -> tuple[Tensor, Tensor]:
    z = data.draw(logits)
    other = data.draw(st.lists(st.floats(-3, 3), min_size=len(z), max_size=len(z)))
    as_log = [torch.tensor(x, dtype=torch.float64).log_softmax(-1) for x in (z, other)]
    return as_log[0], as_log[1]


def _unclamped(log_p: Tensor, log_q: Tensor, estimator: str) -> Tensor:
    """The estimator itself wherever its clamp is idle, its formula elsewhere."""
    d = log_p - log_q
    formula = {"k1": d, "k2": d.square() / 2, "k3": (-d).exp() + d - 1}[estimator]
    ours = kl(log_p, log_q, estimator)  # type: ignore[arg-type]
    return torch.where(formula.abs() < 10, ours, formula)


def _gradient(z: Tensor, objective: object) -> Tensor:
    """With respect to logits, of a function of their log-softmax."""
    value = objective(z.log_softmax(-1))  # type: ignore[operator]
    return torch.autograd.grad(value, z)[0]
