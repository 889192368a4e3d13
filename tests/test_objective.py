"""What an update minimises: every term counts, has a gradient, and adds up over micro-batches."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mssr_rl.advantage.shaping import Uncertainty
from mssr_rl.loss import Estimator, Loss, Weights, token_weights
from mssr_rl.objective import Extras, Given, LiveShaping, Policy, ViewTerm, added, objective
from mssr_rl.views import without_pictures

MASK = torch.tensor([[1.0, 1, 1], [1, 0, 0], [1, 1, 0]]).double()
OLD = torch.tensor([[-0.5, -1.0, -0.1], [-2.0, 0, 0], [-0.7, -0.3, 0]]).double()
ADVANTAGE = torch.tensor([[1.0, 1, 1], [-0.5, 0, 0], [-1, -1, 0]]).double()
ENTROPY = torch.tensor([[0.3, 0.9, 0.1], [1.2, 0, 0], [0.6, 0.4, 0]]).double()
ANCHOR = (OLD - 0.4 * MASK)[..., None]


def text(coef: float, estimator: Estimator = "k2", **changes: Any) -> Extras:
    """A term between the policy and itself without the picture."""
    made = ViewTerm(
        metric="actor/text_kl",
        says="blind",
        change=without_pictures,
        coef=coef,
        estimator=estimator,
    )
    return Extras(views=(replace(made, **changes),))


def given(**changes: Tensor) -> Given:
    whole = Given(MASK, OLD, ADVANTAGE, OLD - 0.1 * MASK, ANCHOR)
    return whole._replace(**{f"{name}_BT": x for name, x in changes.items()})


def gradient(loss: Loss, extras: Extras = Extras(), of: Given | None = None) -> Tensor:
    """Of the total, with respect to the log-probabilities, on fresh rollouts."""
    logprob = OLD.clone().requires_grad_()
    found = objective(
        Policy(logprob, ENTROPY), of or given(), token_weights(MASK, loss), loss, extras
    )
    found.total.backward()  # type: ignore[no-untyped-call]
    assert logprob.grad is not None
    return logprob.grad


PLAIN = Loss(kl_coef=0.0)


def test_on_fresh_rollouts_the_gradient_is_minus_advantage_per_token() -> None:
    assert torch.allclose(gradient(PLAIN), -ADVANTAGE * MASK / 6)


@pytest.mark.parametrize(
    ("loss", "extras"),
    [
        (Loss(kl_coef=0.5), Extras()),
        (Loss(kl_coef=0.0, entropy_coef=0.5), Extras(entropy="plogp")),
        (PLAIN, text(0.5)),
        (PLAIN, Extras(live_shaping=LiveShaping(gamma=0.4, lam=2.0, entropy="nll"))),
    ],
)
def test_every_extra_term_has_a_gradient(loss: Loss, extras: Extras) -> None:
    extra = gradient(loss, extras) - gradient(PLAIN)
    assert extra[MASK > 0].abs().max() > 1e-3
    assert (extra[MASK == 0] == 0).all()


def test_the_entropy_term_reaches_the_full_entropy() -> None:
    entropy = ENTROPY.clone().requires_grad_()
    loss = Loss(kl_coef=0.0, entropy_coef=0.5)
    found = objective(
        Policy(OLD.clone(), entropy), given(), token_weights(MASK, loss), loss, Extras()
    )
    found.total.backward()  # type: ignore[no-untyped-call]
    assert entropy.grad is not None
    assert torch.allclose(entropy.grad, -0.5 * MASK / 6)


def test_the_entropy_stand_in_of_the_released_code_pushes_both_ways() -> None:
    p = torch.tensor([[0.9, 0.5, 0.1]], dtype=torch.float64)
    logprob = p.log().requires_grad_()
    zero = torch.zeros_like(p)
    loss = Loss(kl_coef=0.0, entropy_coef=0.01)
    of = Given(torch.ones_like(p), p.log(), zero, p.log())
    found = objective(
        Policy(logprob, zero), of, token_weights(of.mask_BT, loss), loss, Extras(entropy="plogp")
    )
    assert found.total.item() == pytest.approx(-0.0022388552, abs=1e-9)
    found.total.backward()  # type: ignore[no-untyped-call]
    assert logprob.grad is not None
    factors = (-logprob.grad * 300)[0].tolist()
    assert factors == pytest.approx([-0.8051755359, -0.1534264097, 0.1302585093], abs=1e-9)


def test_the_text_anchor_pulls_towards_itself_and_is_reported() -> None:
    loss, extras = PLAIN, text(0.5)
    pull = gradient(loss, extras) - gradient(loss)
    assert torch.allclose(pull, 0.5 * 0.4 * MASK / 6)  # k2: d = lp - anchor = 0.4
    found = objective(Policy(OLD, ENTROPY), given(), token_weights(MASK, loss), loss, extras)
    assert found.measured == {"actor/text_kl": pytest.approx(0.4**2 / 2)}


def test_the_estimator_of_the_text_term_decides_its_gradient() -> None:
    factor = {"k1": 1.0, "k2": 0.4, "k3": 1 - torch.tensor(-0.4).double().exp().item()}
    for estimator, expected in factor.items():
        extras = text(1.0, estimator)  # type: ignore[arg-type]
        pull = gradient(PLAIN, extras) - gradient(PLAIN)
        assert torch.allclose(pull, expected * MASK / 6), estimator


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize(
    ("side", "factors"), [("policy", (1, 0)), ("view", (0, 1)), ("both", (1, 1))]
)
def test_a_view_learns_through_the_side_that_is_asked(
    sign: float, side: str, factors: tuple[int, int]
) -> None:
    policy, view = OLD.clone().requires_grad_(), (OLD - 0.4 * MASK).requires_grad_()
    extras = text(sign, gradient=side)
    live = (view,) if side != "policy" else ()
    weights = token_weights(MASK, PLAIN)
    zero = given(advantage=torch.zeros_like(OLD))
    objective(Policy(policy, ENTROPY, live), zero, weights, PLAIN, extras).total.backward()  # type: ignore[no-untyped-call]
    of_policy, of_view = (
        torch.zeros_like(OLD) if x.grad is None else x.grad for x in (policy, view)
    )
    wanted = sign * 0.4 * MASK / 6  # k2's gradient is d = 0.4
    assert torch.allclose(of_policy, factors[0] * wanted)
    assert torch.allclose(of_view, -factors[1] * wanted)


def test_views_of_one_name_are_refused() -> None:
    term = text(0.1).views[0]
    with pytest.raises(Exception, match="different metrics"):
        Extras(views=(term, term))


@pytest.mark.parametrize("entropy", ["full", "nll", "plogp"])
def test_live_shaping_equals_shaping_before_the_update_while_the_policy_is_fresh(
    entropy: Uncertainty,
) -> None:
    measure = {"full": ENTROPY, "nll": -OLD, "plogp": -OLD.exp() * OLD}[entropy]
    shaped = ADVANTAGE + torch.minimum(ADVANTAGE.abs() / 0.4, 2.0 * measure)
    live = Extras(live_shaping=LiveShaping(gamma=0.4, lam=2.0, entropy=entropy))
    expected = gradient(PLAIN, of=given(advantage=shaped * MASK))
    assert torch.allclose(gradient(PLAIN, live), expected)


def test_live_shaping_measures_what_it_did() -> None:
    live = Extras(live_shaping=LiveShaping(gamma=0.4, lam=2.0, entropy="full"))
    found = objective(Policy(OLD, ENTROPY), given(), token_weights(MASK, PLAIN), PLAIN, live)
    # Bonuses .6 1.8 .2 | 1.25 (capped) | 1.2 .8; the second response and one token flip.
    assert found.measured == pytest.approx(
        {
            "shaping/bonus_mean": 5.85 / 6,
            "shaping/capped_fraction": 1 / 6,
            "shaping/flipped_fraction": 2 / 6,
        }
    )


@pytest.mark.parametrize(
    "loss",
    [
        Loss(),
        Loss(ratio="sequence"),
        Loss(aggregate="seq-mean-token-mean"),
        Loss(aggregate="seq-mean-token-sum-norm", length_constant=5),
        Loss(aggregate="micro-token-mean", micro_size=2),
    ],
)
def test_micro_batches_add_up(loss: Loss) -> None:
    extras = text(0.1)
    weights = token_weights(MASK, loss)
    policy = Policy(OLD + 0.2 * MASK, ENTROPY)
    whole = objective(policy, given(), weights, loss, extras)
    parts = [
        objective(
            Policy(policy.logprob_BT[rows], policy.entropy_BT[rows]),
            given().at(torch.tensor(rows), 3),
            Weights(*(w[rows] for w in weights)),
            loss,
            extras,
        )
        for rows in ([0, 2], [1])
    ]
    sums, measured = added(parts)
    assert sums.tolist() == pytest.approx([whole.pg, whole.kl, whole.clipped])
    assert measured == pytest.approx(whole.measured)


def test_a_sequence_ratio_is_the_product_of_its_tokens() -> None:
    loss = Loss(ratio="sequence", kl_coef=0.0, clip_low=1.0, clip_high=9.0, dual_clip=None)
    moved = OLD + torch.tensor([[0.1, 0.2, -0.1], [0.3, 0, 0], [0.05, 0.05, 0]]).double()
    found = objective(Policy(moved, ENTROPY), given(), token_weights(MASK, loss), loss, Extras())
    ratios = torch.tensor([0.2, 0.3, 0.1]).double().exp()
    expected = -(torch.tensor([1.0, -0.5, -1.0]).double() * ratios).mean()
    assert found.pg == pytest.approx(expected.item())


def test_a_sequence_ratio_follows_the_whole_response_on_fresh_rollouts() -> None:
    loss = Loss(ratio="sequence", kl_coef=0.0)
    assert torch.allclose(gradient(loss), -ADVANTAGE * MASK / 3)


def test_a_sequence_is_clipped_as_one() -> None:
    loss = Loss(ratio="sequence", kl_coef=0.0)
    moved = OLD + 0.15 * MASK  # 0.45 together: over 1.3, though no token is
    found = objective(Policy(moved, ENTROPY), given(), token_weights(MASK, loss), loss, Extras())
    assert found.clipped == pytest.approx(3 / 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length_constant": 8}, "null unless aggregate=seq-mean-token-sum-norm"),
        ({"micro_size": 4}, "null unless aggregate=micro-token-mean"),
        ({"aggregate": "micro-token-mean", "micro_size": 0}, "micro_size=0 must be at least 1"),
    ],
)
def test_a_constant_without_effect_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(Exception, match=message):
        Loss(**options)  # type: ignore[arg-type]
