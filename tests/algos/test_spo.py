"""SPO: its prior, its forgetting by drift, its whitening, and the problems it prefers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.advantage import Batch, Drifted, DriftTracker, Step, find_beliefs
from mssr_rl.advantage.drift import keeping_rate
from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.errors import UserError


def batch(rows: list[int], rewards: list[float], kl_step: float | None = None) -> Batch:
    mask = torch.ones(len(rows), 1, dtype=torch.float64)
    reward_B = torch.tensor(rewards, dtype=torch.float64)
    return Batch(reward_B, torch.tensor(rows), mask, -mask, kl_step=kl_step)


def beliefs(state: object) -> Drifted:
    found = find_beliefs(state)
    assert isinstance(found, Drifted)
    return found


def visit(algorithm: Algorithm, state: object, b: Batch) -> Step:
    return algorithm.advantage.update(b.reward_B, b, state)


@pytest.mark.parametrize(
    ("smoothing", "expected"),
    [
        (None, [(0.4444444444, 7.5555555556), (3.1111111111, 4.8888888889)]),
        (0.0, [(0, 8), (3, 5)]),
    ],
)
def test_the_prior_is_eight_smoothed_answers(
    smoothing: float | None, expected: list[tuple[float, float]]
) -> None:
    spo = algorithms.make("spo", smoothing=smoothing).advantage
    assert spo.initial is not None
    assert spo.initial.per_problem == 8
    rewards = torch.tensor([[0.0] * 8, [1.0] * 3 + [0.0] * 5, [1.0] * 8])
    found = beliefs(spo.initial.learn(spo.init(3), rewards))
    wanted = [*expected, tuple(reversed(expected[0]))]
    assert found.alpha_N.tolist() == pytest.approx([a for a, _ in wanted], abs=1e-9)
    assert found.beta_N.tolist() == pytest.approx([b for _, b in wanted], abs=1e-9)


def test_the_rate_halves_with_the_drift_between_its_bounds() -> None:
    drift = torch.tensor([0, 0.002, 0.003534, 0.006, 0.01156, 0.02, 0.06], dtype=torch.float64)
    expected = [0.96, 0.96, 0.9599958006, 0.9330329915, 0.875, 0.875, 0.875]
    assert keeping_rate(drift, DriftTracker()).tolist() == pytest.approx(expected, abs=1e-9)


def test_drift_is_summed_since_the_last_visit_of_a_problem() -> None:
    spo = algorithms.make("spo")
    state = spo.advantage.init(3)
    state = visit(spo, state, batch([0, 1], [1, 0])).state
    state = visit(spo, state, batch([0, 2], [1, 0], kl_step=0.004)).state
    assert beliefs(state).drift_N.tolist() == [0, 0.004, 0]
    step = visit(spo, state, batch([1, 1, 2, 0], [1, 1, 0, 0], kl_step=0.002))
    # 1 drifted by 0.006 since step 1, its second answer by nothing, 2 and 0 by 0.002.
    eta = [0.9330329915, 0.96, 0.96, 0.96]
    assert step.metrics["tracker/eta"] == pytest.approx(sum(eta) / 4, abs=1e-9)
    before, after = beliefs(state), beliefs(step.state)
    alpha_1 = 0.96 * (eta[0] * before.alpha_N[1].item() + 1) + 1
    assert after.alpha_N[1].item() == pytest.approx(alpha_1, abs=1e-9)
    assert after.drift_N.tolist() == [0, 0, 0]


def test_a_step_whose_kl_is_unknown_adds_no_drift() -> None:
    spo = algorithms.make("spo")
    state = visit(spo, spo.advantage.init(2), batch([0, 1], [1, 0])).state
    step = visit(spo, state, batch([1], [1]))
    assert beliefs(step.state).drift_N.tolist() == [0, 0]
    assert step.metrics["tracker/kl"] == 0
    assert step.metrics["tracker/mean"] == pytest.approx(beliefs(state).value_N[1].item())


def test_a_value_moves_as_the_paper_says() -> None:
    spo = algorithms.make("spo", prior="uniform", prior_strength=5.0, prior_mean=0.3)
    state = spo.advantage.init(1)
    after = beliefs(visit(spo, state, batch([0], [1])).state)
    expected = 0.3 + (1 - 0.3) / (0.96 * 5 + 1)
    assert after.value_N.item() == pytest.approx(expected)


def test_advantages_are_standardised_with_bessel() -> None:
    spo = algorithms.make("spo")
    found = visit(spo, spo.advantage.init(3), batch([0, 1, 2], [1, 0, 0])).advantage[:, 0]
    assert found.tolist() == pytest.approx([1.1547005184, -0.5773502592, -0.5773502592], abs=1e-7)
    alone = visit(spo, spo.advantage.init(3), batch([0], [1])).advantage
    assert alone.item() == 0.5


@given(st.floats(0, 1), st.integers(2, 9))
def test_equal_surprises_teach_nothing(reward: float, size: int) -> None:
    spo = algorithms.make("spo")
    b = batch(list(range(size)), [reward] * size)
    assert (visit(spo, spo.advantage.init(size), b).advantage == 0).all()


def test_prioritised_sampling_prefers_what_is_sometimes_solved() -> None:
    spo = algorithms.make("spo", sampling="prioritised")
    assert spo.problem_weights is not None
    state = spo.advantage.init(3)
    counts = torch.tensor([8.0, 4, 0]).double(), torch.tensor([0.0, 4, 8]).double()
    state = (state[0]._replace(alpha_N=counts[0], beta_N=counts[1]), *state[1:])
    assert spo.problem_weights(state).tolist() == pytest.approx([0.05, 0.55, 0.05])
    assert algorithms.make("spo").problem_weights is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prior": "uniform", "n_init": 4}, "n_init=4 must be at least 1, and null unless prior"),
        ({"prior": "uniform", "smoothing": 0.5}, "smoothing=0.5 must be at least 0, and null unl"),
        ({"d_half": 0.0}, "d_half=0.0 must be above 0"),
        ({"eta_min": 1.0}, "eta_min=1.0 must be above 0 and below 1"),
        ({"eta_max": 0.5}, "eta_max=0.5 must be between eta_min=0.875 and 1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        algorithms.make("spo", **options)
