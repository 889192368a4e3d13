"""MVSR and MSSR: their chains, a worked batch, and what their options change."""

import pytest
import torch
from torch import Tensor

from mssr_rl.advantage import Batch, Beliefs, Step, find_beliefs
from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.errors import UserError


def padded(rows: list[list[float]]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(
        [torch.tensor(row, dtype=torch.float64) for row in rows], batch_first=True
    )


def worked_batch(rewards: list[float], probabilities: list[list[float]]) -> Batch:
    return Batch(
        reward_B=torch.tensor(rewards, dtype=torch.float64),
        problem_B=torch.arange(len(rewards)),
        mask_BT=padded([[1.0] * len(row) for row in probabilities]),
        logprob_BT=padded(probabilities).clamp(min=1e-9).log(),
    )


def from_beliefs(algorithm: Algorithm, b: Batch, values: list[float]) -> Step:
    """One step of an algorithm that already believes `values`."""
    fresh = algorithm.advantage.init(len(values))
    value_N = torch.tensor(values, dtype=torch.float64)
    beliefs = fresh[0]._replace(alpha_N=8 * value_N, beta_N=8 * (1 - value_N))
    return algorithm.advantage.update(b.reward_B, b, (beliefs, *fresh[1:]))


WORKED = worked_batch([1, 0, 0], [[0.9, 0.5], [0.2, 0.8, 0.6], [0.4]])


def test_three_responses_with_the_released_constants() -> None:
    mvsr = from_beliefs(algorithms.make("mvsr"), WORKED, [0.5, 0.5, 1.0]).advantage
    expected = [1.3363062096, -0.2672612419, -1.0690449676]
    assert mvsr[:, 0].tolist() == pytest.approx(expected, abs=1e-9)

    mssr = algorithms.make("mssr", gamma=2.0, lam=0.4, entropy="plogp")
    shaped = from_beliefs(mssr, WORKED, [0.5, 0.5, 1.0]).advantage
    on = WORKED.mask_BT > 0
    assert shaped[on].tolist() == pytest.approx(
        [1.3742359952, 1.4749356457, -0.1385062089, -0.1958553055, -0.1446630922, -0.9224384505],
        abs=1e-9,
    )
    assert shaped[on].mean().item() == pytest.approx(0.241284764, abs=1e-9)


def test_mssr_is_mvsr_with_one_step_more() -> None:
    mvsr, mssr = algorithms.make("mvsr"), algorithms.make("mssr")
    assert mvsr.advantage.name == "subtract_tracked_value > whiten_over_batch > to_tokens"
    assert mssr.advantage.name == f"{mvsr.advantage.name} > shape_by_entropy"
    assert mssr.loss == mvsr.loss
    assert algorithms.options("mvsr").keys() < algorithms.options("mssr").keys()


def test_normalisation_can_weigh_tokens_or_be_left_out() -> None:
    b = worked_batch([1, 0, 0], [[0.5] * 4, [0.5], [0.5] * 5])
    by_token = from_beliefs(algorithms.make("mvsr", normalisation="token"), b, [0.5] * 3).advantage
    assert by_token[:, 0].tolist() == pytest.approx([1.2247448714, *[-0.8164965809] * 2], abs=1e-9)
    plain = from_beliefs(algorithms.make("mvsr", normalisation="none"), b, [0.5] * 3).advantage
    assert plain[:, 0].tolist() == [0.5, -0.5, -0.5]


def test_tracker_options_reach_the_tracker() -> None:
    made = algorithms.make("mvsr", prior_strength=10, prior_mean=0.2, kl_window=3)
    beliefs = find_beliefs(made.advantage.init(4))
    assert isinstance(beliefs, Beliefs)
    assert (beliefs.alpha_N[3].item(), beliefs.beta_N[3].item()) == (2, 8)
    assert len(beliefs.kl_K) == 3


def test_a_fixed_rate_needs_bounds_that_meet() -> None:
    made = algorithms.make("mvsr", eta_min=0.9175, eta_max=0.9175, prior_strength=8)
    for kl_step in (None, 0.0, 1.0):
        found = from_beliefs(made, WORKED._replace(kl_step=kl_step), [0.5] * 3)
        assert found.metrics["tracker/eta"] == pytest.approx(0.9175)


def test_full_entropy_is_asked_for_where_it_is_missing() -> None:
    with pytest.raises(UserError, match="entropy=full needs the entropy of every token"):
        from_beliefs(algorithms.make("mssr"), WORKED, [0.5] * 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": 0}, "gamma=0.0 must be above 0"),
        ({"lam": -2.0}, "lam=-2.0 must be above 0"),
        ({"entropy": "shannon"}, "entropy=shannon is not one of full, nll, plogp"),
        ({"eta_max": 0.5}, "eta_max=0.5 must be between eta_min=0.875 and 1"),
        ({"normalisation": "batch"}, "normalisation=batch is not one of sequence, token, none"),
        ({"kl_window": 2.5}, "kl_window=2.5 is not a whole number"),
        ({"gama": 1.0}, r"'mssr' has no option 'gama'; did you mean 'gamma'\?"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        algorithms.make("mssr", **options)
