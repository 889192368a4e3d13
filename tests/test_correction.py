"""Importance weights between sampler and trainer: per token and per response, cut and dropped."""

import math

import pytest
import torch

from mssr_rl.correction import Correction, Method, correction_weights
from mssr_rl.errors import UserError
from mssr_rl.loss import Loss
from mssr_rl.objective import Given, prepared

MASK = torch.tensor([[1.0, 1, 1, 1], [1, 1, 0, 0]]).double()
OLD = torch.full_like(MASK, -1.0)
GAP = torch.tensor([[0.0, 0.1, -0.1, 2.0], [0.3, -0.4, 5.0, 5.0]]).double()  # log of the ratio


def weights(method: Method, cap: float = 2.0) -> list[list[float]]:
    found: list[list[float]] = correction_weights(
        OLD, OLD - GAP, MASK, Correction(method=method, cap=cap)
    ).tolist()
    return found


def test_a_ratio_per_token_is_cut_or_dropped_above_the_cap() -> None:
    whole = [1.0, 1.1051709181, 0.9048374180]
    assert weights("token_truncate")[0] == pytest.approx([*whole, 2.0])  # exp(2) is 7.4
    assert weights("token_mask")[0] == pytest.approx([*whole, 0.0])
    assert weights("token_mask", 8.0)[0] == pytest.approx([*whole, math.exp(2)])


def test_a_ratio_per_response_is_the_product_of_its_tokens() -> None:
    assert weights("sequence_truncate")[0] == pytest.approx([2.0] * 4)
    assert weights("sequence_mask")[0] == [0.0] * 4
    assert weights("sequence_mask")[1][:2] == pytest.approx([math.exp(-0.1)] * 2)


def test_without_a_correction_every_weight_is_1() -> None:
    assert weights("none") == [[1.0] * 4] * 2


def test_an_enormous_gap_gives_a_number() -> None:
    far = correction_weights(OLD + 1e4, OLD, MASK, Correction(method="sequence_mask", cap=1e30))
    assert far.isfinite().all()


def test_the_surrogate_of_every_loss_is_weighed_and_its_other_terms_are_not() -> None:
    given = Given(MASK, OLD, MASK, OLD, sampler_BT=OLD - GAP)
    plain = prepared(given, Loss(), 1).weights
    found = prepared(given, Loss(), 1, correction=Correction(method="token_mask")).weights
    assert torch.equal(found.terms, plain.terms)
    assert torch.equal(found.shares, plain.shares)
    expected = torch.tensor(weights("token_mask")).double()
    assert torch.allclose(found.surrogate, plain.surrogate * expected)
    nobody = given._replace(sampler_BT=None)
    assert torch.equal(
        prepared(nobody, Loss(), 1, correction=Correction(method="token_mask")).weights.surrogate,
        plain.surrogate,
    )


def test_a_cap_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="cap=0 must be above 0"):
        Correction(cap=0)
