"""Single definitions at their edges: what is just not yet an event."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.stability.collapse import accuracy_collapse, answer_collapse, worst_dip
from mssr_rl.stability.learning import plateau, tracker_lag
from mssr_rl.stability.limits import Limits
from mssr_rl.stability.policy_detectors import entropy_collapse, grad_spike, kl_runaway
from mssr_rl.stability.response_detectors import length_runaway, repeats, repetition
from mssr_rl.stability.trace import RecordedResponse, Trace, held, reference

LIMITS = Limits()


# ---- windows ----


def test_held_counts_steps_in_a_row() -> None:
    assert held(np.array([1, 1, 0, 1, 1, 1, 1], bool), 3) == 5
    assert held(np.array([1, 1, 0, 1, 1], bool), 3) is None
    assert held(np.array([], bool), 1) is None


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 6))
def test_held_is_the_first_full_window(flags: list[bool], window: int) -> None:
    ends = range(window - 1, len(flags))
    slow = next((i for i in ends if all(flags[i - window + 1 : i + 1])), None)
    assert held(np.array(flags, bool), window) == slow


def test_a_reference_is_the_median_of_the_first_window() -> None:
    assert reference(np.array([1.0, 9.0, 2.0, 50.0]), 3) == 2.0
    assert np.isnan(reference(np.array([1.0]), 3))


def test_the_window_is_a_twentieth_of_the_run_and_at_least_five_steps() -> None:
    assert [LIMITS.steps(planned) for planned in (20, 100, 120, 1000)] == [5, 5, 6, 50]


# ---- collapse ----


def test_one_bad_evaluation_is_no_collapse(made: Any) -> None:
    assert (
        accuracy_collapse(made.run(marks=made.marks(0.5, 0.55, 0.40, 0.54, 0.40)), LIMITS) is None
    )


def test_a_fall_within_chance_is_no_collapse(made: Any) -> None:
    # Three standard errors at 50 % of 100 problems are 21 points, of 10,000 two: then 5 count.
    fall = (0.50, 0.44, 0.44)
    assert accuracy_collapse(made.run(marks=made.marks(*fall, n=100)), LIMITS) is None
    event = accuracy_collapse(made.run(marks=made.marks(*fall, n=10_000)), LIMITS)
    assert event is not None
    assert event.step == 60
    assert (
        "is 44.0%; for the second time in a row it is more than 5.0 points below" in event.evidence
    )


def test_a_model_that_never_gave_answers_has_not_lost_them(made: Any) -> None:
    assert answer_collapse(made.run({"reward/no_answer_fraction": lambda t: 0.9}), LIMITS) is None


def test_the_worst_dip_is_measured_from_the_best_so_far(made: Any) -> None:
    assert worst_dip(made.marks(0.4, 0.6, 0.45, 0.7, 0.6)) == pytest.approx(0.15)
    assert worst_dip(()) == 0.0


# ---- policy ----


def test_a_policy_that_gets_sure_while_it_gets_better_converges(made: Any) -> None:
    low = {"actor/entropy": made.after(40, 0.03, 0.16)}
    assert (
        entropy_collapse(made.run(low, marks=made.marks(0.45, 0.5, 0.53, 0.56, 0.58)), LIMITS)
        is None
    )


def test_low_entropy_without_any_evaluation_is_a_collapse(made: Any) -> None:
    event = entropy_collapse(
        made.run({"actor/entropy": made.after(40, 0.03, 0.16)}, marks=()), LIMITS
    )
    assert event is not None
    assert event.step == 45


def test_one_step_of_large_kl_is_forgiven(made: Any) -> None:
    blip = made.run({"actor/kl_step": lambda t: 0.3 if t in (20, 21) else 0.001})
    assert kl_runaway(blip, LIMITS) is None


def test_drift_from_the_frozen_model_is_named_as_that(made: Any) -> None:
    event = kl_runaway(made.run({"actor/kl_ref": made.after(60, 0.8, 0.1)}), LIMITS)
    assert event is not None
    assert event.step == 65
    assert event.evidence.startswith("the KL to the frozen initial model is 0.8")


def test_three_spikes_close_together_are_a_warning(made: Any) -> None:
    event = grad_spike(
        made.run({"actor/grad_norm": lambda t: 9.0 if t in (33, 35, 37) else 0.4}), LIMITS
    )
    assert event is not None
    assert (event.level, event.step) == ("warn", 37)
    assert "3 such steps, three of them within 6 steps" in event.evidence


def test_a_gradient_that_grows_slowly_does_not_spike(made: Any) -> None:
    assert grad_spike(made.run({"actor/grad_norm": lambda t: 0.4 * 1.04**t}), LIMITS) is None


# ---- responses ----


def test_answers_that_grow_without_being_cut_are_thought_not_runaway(made: Any) -> None:
    assert (
        length_runaway(made.run({"response_length/mean": made.after(30, 60.0, 21.0)}), LIMITS)
        is None
    )


def test_a_text_repeats_itself_in_words_or_in_characters() -> None:
    assert repeats("the angle is " * 20)
    assert repeats("!" * 400)
    assert repeats("七" * 300)
    assert not repeats("the angle is " * 5)  # short
    assert not repeats("".join(f"Side {i} is {i * i} long, so {i + 3} fits. " for i in range(20)))


def test_a_few_recorded_responses_are_not_enough_to_speak_of_a_share(made: Any) -> None:
    few = [RecordedResponse(t, "no " * 50) for t in range(1, 5)]
    assert repetition(made.run(responses=few), LIMITS) is None


# ---- learning ----


def test_a_short_run_never_shows_a_plateau(made: Any) -> None:
    flat = made.run({"reward/mean": lambda t: 0.45}, marks=())
    assert plateau(Trace(20, flat.rows[:20]), LIMITS) is None


def test_a_noisy_reward_is_no_evidence_of_a_plateau(made: Any) -> None:
    noise = np.random.default_rng(1).normal(0, 0.08, made.steps + 1)
    assert (
        plateau(made.run({"reward/mean": lambda t: 0.45 + noise[int(t)]}, marks=()), LIMITS) is None
    )


def test_validation_that_still_rises_is_no_plateau(made: Any) -> None:
    rising = made.marks(0.40, 0.45, 0.48, 0.53, 0.56)
    assert plateau(made.run({"reward/mean": lambda t: 0.45}, marks=rising), LIMITS) is None


def test_the_prior_of_a_tracker_may_be_wrong_at_the_start(made: Any) -> None:
    late = made.run({"tracker/mean": lambda t: 0.40 + 0.3 * np.exp(-t / 4)})
    assert tracker_lag(late, LIMITS) is None


def test_an_eta_that_never_leaves_its_floor_is_named(made: Any) -> None:
    trace = made.run()
    stuck = [{**row, "tracker/eta": 0.875 if row["step"] > 3 else 0.96} for row in trace.rows]
    event = tracker_lag(trace._replace(rows=stuck), LIMITS)
    assert event is not None
    assert "eta is 0.875, its smallest value, on 98% of the steps" in event.evidence


def test_an_eta_that_was_set_to_one_value_is_not_stuck(made: Any) -> None:
    trace = made.run()
    fixed = [{**row, "tracker/eta": 0.9} for row in trace.rows]
    assert tracker_lag(trace._replace(rows=fixed), LIMITS) is None
