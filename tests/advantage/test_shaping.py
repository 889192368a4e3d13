"""The entropy bonus: worked cases of both readings, its laws, and what each entropy pushes at."""

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mssr_rl.advantage import Batch, Step, shape_by_entropy
from mssr_rl.advantage.shaping import Uncertainty, plogp, uncertainty
from mssr_rl.errors import UserError

ADVANTAGES = [1.2, -0.8, -0.8, -0.1, 0.0]
PROBABILITIES = [0.95, 0.5, 0.05, 1 / math.e, 0.3]


def one_response(probabilities: list[float], entropy: list[float] | None = None) -> Batch:
    tokens = torch.ones(1, len(probabilities), dtype=torch.float64)
    return Batch(
        reward_B=torch.ones(1, dtype=torch.float64),
        problem_B=torch.zeros(1, dtype=torch.int64),
        mask_BT=tokens,
        logprob_BT=torch.tensor([probabilities], dtype=torch.float64).log(),
        entropy_BT=None if entropy is None else torch.tensor([entropy], dtype=torch.float64),
    )


def shape(
    advantages: list[float], b: Batch, gamma: float, lam: float, entropy: Uncertainty
) -> Step:
    a_BT = torch.tensor([advantages], dtype=torch.float64)
    return shape_by_entropy(gamma, lam, entropy).update(a_BT, b, None)


def close(found: Tensor, expected: list[float]) -> bool:
    wanted = torch.tensor(expected, dtype=torch.float64)
    return torch.allclose(found.flatten(), wanted, rtol=0, atol=1e-9)


def test_the_released_constants_soften_penalties() -> None:
    done = shape(ADVANTAGES, one_response(PROBABILITIES), 2.0, 0.4, entropy="plogp")
    assert close(done.advantage, [1.2194914519, -0.6613705639, -0.7400853545, -0.05, 0])
    psi = [0.0194914519, 0.1386294361, 0.0599146455, 0.05, 0]
    assert done.metrics["shaping/bonus_mean"] == pytest.approx(sum(psi) / 5, abs=1e-9)
    assert done.metrics["shaping/flipped_fraction"] == 0


def test_the_constants_of_the_text_turn_one_penalty_of_five_into_a_reward() -> None:
    done = shape(ADVANTAGES, one_response(PROBABILITIES), 0.4, 2.0, entropy="plogp")
    assert close(done.advantage, [1.2974572593, -0.1068528194, -0.5004267726, 0.15, 0])
    assert done.metrics["shaping/flipped_fraction"] == pytest.approx(1 / 5)
    assert done.metrics["shaping/capped_fraction"] == pytest.approx(2 / 5)  # the 4th, and A = 0


def test_where_nothing_is_at_stake_there_is_no_bonus() -> None:
    b = one_response([0.5] * 3, entropy=[0.1, 1, 5])
    assert shape([0, 0, 0], b, 0.4, 2.0, entropy="full").advantage.tolist() == [[0, 0, 0]]


def test_the_three_entropies_of_a_sampled_token() -> None:
    b = one_response([0.95, 0.5, 1 / math.e], entropy=[0.2, 0.7, 1.1])
    assert close(uncertainty(b, "full"), [0.2, 0.7, 1.1])
    assert close(uncertainty(b, "nll"), [0.0512932944, 0.6931471806, 1])
    assert close(uncertainty(b, "plogp"), [0.0487286297, 0.3465735903, 0.3678794412])


@pytest.mark.parametrize("entropy", get_args(Uncertainty))
def test_uncertainty_is_never_negative_and_a_constant(entropy: Uncertainty) -> None:
    b = one_response([0.5], entropy=[-1e-9])
    b = b._replace(logprob_BT=torch.full((1, 1), 1e-9, requires_grad=True))
    assert uncertainty(b, entropy).item() == 0
    assert not uncertainty(b, entropy).requires_grad


def test_without_full_entropies_the_error_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"entropy=full needs .*set algo.entropy=nll"):
        shape([1.0], one_response([0.5]), 0.4, 2.0, entropy="full")


@pytest.mark.parametrize(("gamma", "lam", "name"), [(0.0, 1.0, "gamma"), (1.0, -1.0, "lam")])
def test_constants_that_are_not_positive_are_refused(gamma: float, lam: float, name: str) -> None:
    with pytest.raises(UserError, match=f"^{name}=.* must be above 0$"):
        shape_by_entropy(gamma, lam)


tokens = st.lists(st.tuples(st.floats(-3, 3), st.floats(0, 5)), min_size=1, max_size=8)


@settings(max_examples=50, deadline=None)
@given(tokens, st.floats(0.1, 5), st.floats(0.01, 5))
def test_the_bonus_keeps_its_bounds(
    pairs: list[tuple[float, float]], gamma: float, lam: float
) -> None:
    a_BT = torch.tensor([[a for a, _ in pairs]], dtype=torch.float64)
    b = one_response([0.5] * len(pairs), entropy=[h for _, h in pairs])
    assert b.entropy_BT is not None
    done = shape_by_entropy(gamma, lam).update(a_BT, b, None)
    psi_BT = done.advantage - a_BT
    assert (psi_BT >= 0).all()
    assert (psi_BT <= a_BT.abs() / gamma + 1e-12).all()
    assert (psi_BT <= lam * b.entropy_BT + 1e-12).all()
    if gamma >= 1:
        assert (done.advantage * a_BT >= 0).all()
        assert done.metrics["shaping/flipped_fraction"] == 0


@settings(max_examples=50, deadline=None)
@given(tokens)
def test_the_two_readings_differ_by_a_factor_of_five(pairs: list[tuple[float, float]]) -> None:
    a_BT = torch.tensor([[a for a, _ in pairs]], dtype=torch.float64)
    b = one_response([0.5] * len(pairs), entropy=[h for _, h in pairs])
    text, code = (
        shape_by_entropy(*constants).update(a_BT, b, None) for constants in ((0.4, 2.0), (2.0, 0.4))
    )
    assert torch.allclose(text.advantage - a_BT, 5 * (code.advantage - a_BT), atol=1e-12)


def test_padding_gets_no_bonus_and_is_not_counted() -> None:
    b = one_response([0.5, 0.5, 0.5], entropy=[1.0, 1.0, math.nan])
    b = b._replace(mask_BT=torch.tensor([[1.0, 1, 0]], dtype=torch.float64))
    done = shape([-1, 1, 0], b, 0.5, 1.0, entropy="full")
    assert done.advantage.tolist() == [[0, 2, 0]]
    assert done.metrics["shaping/bonus_mean"] == 1


def test_while_the_cap_is_idle_only_nll_pushes_along_the_entropy_gradient() -> None:
    z = torch.tensor([0.9, 0.07, 0.03], dtype=torch.float64).log().requires_grad_()
    log_p = z.log_softmax(-1)
    entropy = -(log_p.exp() * log_p).sum()
    bonus = {
        "full": entropy.detach().expand(3),
        "nll": -log_p.detach(),
        "plogp": plogp(log_p.detach()),
    }
    push = {
        name: torch.autograd.grad((log_p.exp().detach() * f * log_p).sum(), z, retain_graph=True)[0]
        for name, f in bonus.items()
    }
    (towards_entropy,) = torch.autograd.grad(entropy, z)
    assert close(push["full"], [0, 0, 0])
    assert close(push["nll"], [-0.2527279991, 0.1591163443, 0.0936116548])
    assert torch.allclose(push["nll"], towards_entropy)
    assert close(push["plogp"], [-0.0060334469, 0.0059233936, 0.0001100533])
