"""The value tracker: what it believes, when it forgets, and that it never sees the future."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mssr_rl.advantage import Batch, Beliefs, Step, Tracker, find_beliefs, subtract_tracked_value
from mssr_rl.advantage.tracker import forgetting_rate
from mssr_rl.algos import algorithms
from mssr_rl.errors import UserError

DRIFTS = (0, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.010001, 0.02, 0.1)


def batch(problems: list[int], rewards: list[float], kl_step: float | None = None) -> Batch:
    tokens = torch.ones(len(problems), 1)
    reward_B = torch.tensor(rewards, dtype=torch.float64)
    return Batch(reward_B, torch.tensor(problems), tokens, -tokens, kl_step=kl_step)


def visit(tracker: Tracker, state: Beliefs, b: Batch) -> Step:
    return subtract_tracked_value(tracker).update(b.reward_B, b, state)


def fixed(eta: float) -> Tracker:
    return Tracker(eta_min=eta, eta_max=eta, prior_strength=8.0)


# ---- the prior -----------------------------------------------------------------------------------


def test_a_problem_never_tried_is_worth_eight_outcomes_half_of_them_right() -> None:
    state = subtract_tracked_value(Tracker()).init(2)
    assert state.alpha_N.tolist() == [4, 4]
    assert state.beta_N.tolist() == [4, 4]


def test_prior_strength_and_mean_set_the_starting_counts() -> None:
    state = subtract_tracked_value(Tracker(prior_strength=10.0, prior_mean=0.2)).init(1)
    assert (state.alpha_N.item(), state.beta_N.item()) == (2, 8)


def test_the_default_strength_follows_eta_min() -> None:
    assert Tracker(eta_min=0.9).strength == pytest.approx(10)


# ---- the rate ------------------------------------------------------------------------------------


def test_the_paper_schedule_forgets_more_the_more_the_policy_moves() -> None:
    expected = [0.96, 0.9515, 0.93875, 0.9175, 0.89625, 0.875, 0.875, 0.875, 0.875]
    assert [forgetting_rate(kl, Tracker()) for kl in DRIFTS] == pytest.approx(expected)
    assert forgetting_rate(None, Tracker()) == 0.96


def test_the_released_schedule_rises_to_the_target_and_drops_behind_it() -> None:
    expected = [0.875, 0.8835, 0.89625, 0.9175, 0.93875, 0.96, 0.875, 0.875, 0.875]
    released = Tracker(eta_schedule="released")
    assert [forgetting_rate(kl, released) for kl in DRIFTS] == pytest.approx(expected)
    assert forgetting_rate(None, released) == pytest.approx(0.9175)
    assert forgetting_rate(math.nextafter(0.01, 1), released) == 0.875


@settings(max_examples=50, deadline=None)
@given(
    low=st.floats(0.01, 1),
    share=st.floats(0, 1),
    target=st.floats(1e-4, 1),
    kls=st.lists(st.floats(0, 3), min_size=1, max_size=9),
)
def test_the_rate_stays_in_its_bounds_and_the_papers_falls(
    low: float, share: float, target: float, kls: list[float]
) -> None:
    high = low + share * (1 - low)
    for schedule in ("prose", "paper", "released"):
        tracker = Tracker(
            eta_min=low,
            eta_max=min(high, 1.0),
            eta_schedule=schedule,
            kl_target=target,
            prior_strength=8.0,
        )
        rates = [forgetting_rate(kl, tracker) for kl in sorted(kls)]
        assert all(tracker.eta_min <= rate <= tracker.eta_max for rate in rates)
        assert schedule == "released" or rates == sorted(rates, reverse=True)


# ---- the counts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("eta", "expected", "total"),
    [
        (
            0.96,
            [
                0,
                0,
                0.1004067679,
                0.1855865796,
                0.2587024767,
                0.3220985315,
                0.3775488124,
                0.426420731,
            ],
            12.7363771573,
        ),
        (
            0.875,
            [0, 0, 0.125, 0.234375, 0.330078125, 0.4138183594, 0.4870910645, 0.5512046814],
            8.0,
        ),
    ],
)
def test_a_wrong_belief_is_unlearnt_at_the_rate_of_eta(
    eta: float, expected: list[float], total: float
) -> None:
    state = Beliefs(torch.zeros(1).double(), torch.full((1,), 8.0).double(), torch.zeros(20), 0)
    values = []
    for reward in (0, 0, 1, 1, 1, 1, 1, 1):
        state = visit(fixed(eta), state, batch([0], [reward])).state
        values.append(state.value_N.item())
    assert values == pytest.approx(expected, abs=1e-9)
    assert (state.alpha_N + state.beta_N).item() == pytest.approx(total, abs=1e-9)


def test_a_rollout_is_no_part_of_its_own_baseline_even_twice_in_a_batch() -> None:
    tracker = Tracker()
    state = subtract_tracked_value(tracker).init(2)
    done = visit(tracker, state, batch([1, 1, 1], [1, 0, 1]))
    assert done.advantage.tolist() == [0.5, -0.5, 0.5]
    assert done.metrics["tracker/mean"] == 0.5


def test_problems_that_were_not_met_keep_their_counts() -> None:
    state = subtract_tracked_value(Tracker()).init(3)
    done = visit(Tracker(), state, batch([2], [1.0])).state
    assert torch.equal(done.alpha_N[:2], state.alpha_N[:2])
    assert done.alpha_N[2].item() == pytest.approx(0.96 * 4 + 1)


def test_a_partial_reward_counts_as_won_above_one_half() -> None:
    state = subtract_tracked_value(fixed(1.0)).init(3)
    done = visit(fixed(1.0), state, batch([0, 1, 2], [0.5, 0.51, 0.2]))
    assert done.state.alpha_N.tolist() == [4, 5, 4]
    assert done.advantage.tolist() == pytest.approx([0, 0.01, -0.3])


visits = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([0.0, 1.0])), min_size=1, max_size=25
)


@settings(max_examples=50, deadline=None)
@given(visits, st.floats(0.5, 1))
def test_duplicates_are_counted_one_after_the_other(
    seen: list[tuple[int, float]], eta: float
) -> None:
    state = subtract_tracked_value(fixed(eta)).init(5)
    done = visit(fixed(eta), state, batch([p for p, _ in seen], [r for _, r in seen])).state
    alpha, beta = state.alpha_N.tolist(), state.beta_N.tolist()
    for problem, won in seen:
        alpha[problem] = eta * alpha[problem] + won
        beta[problem] = eta * beta[problem] + (1 - won)
    assert (done.alpha_N.tolist(), done.beta_N.tolist()) == (alpha, beta)  # to the last bit


@settings(max_examples=30, deadline=None)
@given(visits, st.floats(0, 0.05))
def test_values_are_shares_and_memory_is_bounded(
    seen: list[tuple[int, float]], kl_step: float
) -> None:
    tracker, state = Tracker(), subtract_tracked_value(Tracker()).init(5)
    for problem, reward in seen:
        state = visit(tracker, state, batch([problem], [reward], kl_step)).state
        assert ((state.value_N >= 0) & (state.value_N <= 1)).all()
        assert (state.alpha_N + state.beta_N <= 1 / (1 - tracker.eta_max) + 1e-9).all()


def test_memory_tends_to_one_over_one_minus_eta() -> None:
    state = subtract_tracked_value(fixed(0.9)).init(1)
    for _ in range(300):
        state = visit(fixed(0.9), state, batch([0], [1.0])).state
    assert (state.alpha_N + state.beta_N).item() == pytest.approx(10)


@settings(max_examples=30, deadline=None)
@given(st.floats(0.1, 20), st.floats(0.1, 20), st.booleans(), st.floats(0.5, 1))
def test_a_visit_moves_the_value_by_spos_step(a: float, b: float, won: bool, eta: float) -> None:
    state = Beliefs(torch.tensor([a]).double(), torch.tensor([b]).double(), torch.zeros(1), 0)
    old, effective = state.value_N.item(), state.alpha_N.item() + state.beta_N.item()
    new = visit(fixed(eta), state, batch([0], [float(won)])).state.value_N.item()
    assert new == pytest.approx(old + (won - old) / (eta * effective + 1))


# ---- the KL window -------------------------------------------------------------------------------


def run(tracker: Tracker, kl_steps: list[float | None]) -> list[dict[str, float]]:
    state, metrics = subtract_tracked_value(tracker).init(1), []
    for kl_step in kl_steps:
        done = visit(tracker, state, batch([0], [1.0], kl_step))
        state = done.state
        metrics.append(dict(done.metrics))
    return metrics


def test_the_newest_kl_counts_and_the_window_forgets_the_oldest() -> None:
    measured = run(Tracker(kl_window=2), [None, 0.004, 0.012, 0.002])
    assert [m["tracker/kl"] for m in measured] == pytest.approx([0, 0.004, 0.008, 0.007])
    assert [m["tracker/eta"] for m in measured] == pytest.approx([0.96, 0.926, 0.892, 0.9005])


def test_a_step_without_kl_keeps_the_window() -> None:
    measured = run(Tracker(), [0.004, None, None])
    assert [m["tracker/kl"] for m in measured] == [0.004] * 3


def test_a_kl_of_zero_is_a_value_and_not_the_lack_of_one() -> None:
    released = Tracker(eta_schedule="released")
    assert [m["tracker/eta"] for m in run(released, [None, 0.0])] == pytest.approx([0.9175, 0.875])


def test_the_reference_kl_is_the_mean_over_responses_of_their_token_means() -> None:
    b = batch([0, 1], [1, 0])._replace(
        mask_BT=torch.tensor([[1.0, 1, 0], [1, 0, 0]]),
        logprob_BT=torch.tensor([[-0.1, -0.7, 9.0], [-2.3, 9, 9]]),
        logprob_ref_BT=torch.tensor([[-0.2, -0.7, 0.0], [-2.2, 0, 0]]),
    )
    tracker = Tracker(kl_source="reference")
    done = visit(tracker, subtract_tracked_value(tracker).init(2), b)
    one, two = math.exp(-0.1) + 0.1 - 1, math.exp(0.1) - 0.1 - 1
    assert done.metrics["tracker/kl"] == pytest.approx((one / 2 + two) / 2, abs=1e-8)


def test_without_a_reference_its_kl_is_an_error_that_says_what_to_do() -> None:
    tracker = Tracker(kl_source="reference")
    with pytest.raises(UserError, match=r"needs .*\(logprob_ref\).*use kl_source=step"):
        visit(tracker, subtract_tracked_value(tracker).init(1), batch([0], [1.0]))


# ---- the options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eta_min": 0.0}, "eta_min=0.0 must be above 0 and at most 1"),
        ({"eta_min": 0.97}, "eta_max=0.96 must be between eta_min=0.97 and 1"),
        ({"eta_max": 1.1}, "eta_max=1.1 must be between eta_min=0.875 and 1"),
        ({"kl_target": 0.0}, "kl_target=0.0 must be above 0"),
        ({"kl_window": 0}, "kl_window=0 must be at least 1"),
        ({"prior_mean": 1.0}, "prior_mean=1.0 must be above 0 and below 1"),
        ({"prior_strength": 0.0}, "prior_strength=0.0 must be above 0"),
        ({"eta_min": 1.0, "eta_max": 1.0}, "prior_strength=null must be a number when eta_min=1"),
    ],
)
def test_a_tracker_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        Tracker(**options)


def test_beliefs_are_found_inside_the_state_of_a_chain() -> None:
    beliefs = subtract_tracked_value(Tracker()).init(1)
    assert find_beliefs((None, (beliefs, None))) is beliefs
    assert find_beliefs((None, ())) is None


def test_the_older_word_for_the_schedule_of_the_prose_is_still_read() -> None:
    assert Tracker(eta_schedule="paper") == Tracker(eta_schedule="prose") == Tracker()


@pytest.mark.parametrize("reward", [-1.0, 1.5])
@pytest.mark.parametrize("name", ["mvsr", "spo", "spo_pp"])
def test_a_reward_that_is_no_success_is_refused(name: str, reward: float) -> None:
    step = algorithms.make(name).advantage
    of = batch([0, 1], [1.0, reward])
    with pytest.raises(UserError, match=f"a reward of {reward:g} lies outside 0 to 1"):
        step.update(of.reward_B, of, step.init(2))
