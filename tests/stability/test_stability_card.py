"""The scorecard: every detector fires on the run made for it, alone, and none on healthy runs."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mssr_rl.stability.limits import Limits
from mssr_rl.stability.stability_card import (
    DETECTORS,
    first_collapse,
    line,
    not_finite,
    scorecard,
    verdict_of,
)
from mssr_rl.stability.trace import Event, RecordedResponse, Trace

LIMITS = Limits()
LOOP = "the angle is the angle is " * 12
Make = Callable[[Any], Trace]
ILL: dict[str, tuple[Make, str, int]] = {  # detector: its run, level, and step of the event
    "accuracy_collapse": (
        lambda m: m.run(marks=m.marks(0.45, 0.55, 0.52, 0.42, 0.40)),
        "collapse",
        120,
    ),
    "answer_collapse": (
        lambda m: m.run({"reward/no_answer_fraction": m.after(50, 0.9, 0.01)}),
        "collapse",
        55,
    ),
    "entropy_collapse": (
        lambda m: m.run(
            {"actor/entropy": m.after(40, 0.03, 0.16)}, marks=m.marks(0.45, 0.50, 0.49, 0.50, 0.49)
        ),
        "warn",
        60,  # low since step 40, but the evaluation of step 30 was the best until that of step 60
    ),
    "entropy_explosion": (lambda m: m.run({"actor/entropy": m.after(70, 0.6, 0.16)}), "warn", 75),
    "kl_runaway": (lambda m: m.run({"actor/kl_step": m.after(20, 0.2, 0.001)}), "warn", 22),
    "grad_spike": (
        lambda m: m.run({"actor/grad_norm": lambda t: 9.0 if t == 33 else 0.4}),
        "note",
        33,
    ),
    "length_runaway": (
        lambda m: m.run(
            {
                "response_length/mean": m.after(30, 60.0, 21.0),
                "response_length/clip_ratio": m.after(30, 0.4, 0.0),
            }
        ),
        "warn",
        35,
    ),
    "length_collapse": (
        lambda m: m.run({"response_length/mean": m.after(90, 4.0, 21.0)}),
        "warn",
        95,
    ),
    "truncation": (
        lambda m: m.run({"response_length/clip_ratio": m.after(11, 0.7, 0.0)}),
        "warn",
        16,
    ),
    "repetition": (
        lambda m: m.run(
            responses=[
                RecordedResponse(t, LOOP if t > 40 else "Two and two.") for t in range(1, 121)
            ]
            * 2
        ),
        "warn",
        42,  # of the 12 of the window, the first two are a sixth, four are a third
    ),
    "no_signal": (
        lambda m: m.run({"critic/advantages/zero_fraction": m.after(60, 0.95, 0.3)}),
        "warn",
        65,
    ),
    "format_only": (
        lambda m: m.run(
            {
                "reward/no_answer_fraction": lambda t: 0.5 - t / 250,
                "reward/mean": lambda t: 0.45 * (0.5 + t / 250),
                "tracker/mean": lambda t: 0.45 * (0.5 + t / 250),
            }
        ),
        "warn",
        120,
    ),
    "plateau": (
        lambda m: m.run(
            {"reward/mean": lambda t: 0.45}, marks=m.marks(0.45, 0.50, 0.50, 0.50, 0.50)
        ),
        "note",
        120,
    ),
    "tracker_lag": (lambda m: m.run({"tracker/mean": lambda t: 0.15}), "warn", 12),
    "verifier_trouble": (
        lambda m: m.run({"reward/timeout_fraction": m.after(100, 0.05, 0.0)}),
        "warn",
        101,
    ),
}


def test_every_detector_has_a_run_made_for_it() -> None:
    assert {detect.__name__ for detect in DETECTORS} == set(ILL)


@pytest.mark.parametrize("name", ILL)
def test_a_detector_fires_on_its_run_and_no_other_does(made: Any, name: str) -> None:
    make, level, step = ILL[name]
    found = scorecard(make(made), LIMITS).events
    assert [(event.event, event.level, event.step) for event in found] == [(name, level, step)]
    assert found[0].evidence
    assert found[0].advice


def test_nothing_fires_on_the_healthy_run_they_were_made_from(made: Any) -> None:
    assert scorecard(made.run(), LIMITS).events == ()
    assert scorecard(made.run(), LIMITS).verdict == "stable"


def test_nothing_fires_on_a_run_that_has_not_begun() -> None:
    assert scorecard(Trace(120, ()), LIMITS) == ("stable", (), 0.0)


def test_a_run_without_a_metric_is_not_blamed_for_it() -> None:
    bare = Trace(120, [{"step": t, "reward/mean": 0.4 + 0.001 * t} for t in range(1, 121)])
    assert scorecard(bare, LIMITS).events == ()


# ---- the verdict ----


def test_the_verdict_is_that_of_the_worst_event() -> None:
    note, warning = Event("a", "note", 1, "", ""), Event("b", "warn", 2, "", "")
    assert verdict_of([note]) == "stable"
    assert verdict_of([note, warning]) == "warned"
    assert verdict_of([warning, not_finite(3, "the gradient is not finite")]) == "collapsed"


def test_a_step_that_was_refused_counts_as_a_collapse(made: Any) -> None:
    card = scorecard(made.run(), LIMITS, not_finite(7, "the loss is not finite"))
    assert card.verdict == "collapsed"
    assert [event.event for event in card.events] == ["non_finite"]
    assert line(card.events[0]).startswith("non_finite at step 7: the loss is not finite; ")


def test_only_a_collapse_ends_a_run(made: Any) -> None:
    ending = {n for n, (make, _, _) in ILL.items() if first_collapse(make(made), LIMITS)}
    assert ending == {"accuracy_collapse", "answer_collapse"}


def test_a_card_is_plain_json_with_evidence_and_advice(made: Any) -> None:
    card = json.loads(json.dumps(scorecard(ILL["kl_runaway"][0](made), LIMITS).as_dict()))
    assert card["verdict"] == "warned"
    assert set(card["events"][0]) == {"event", "level", "step", "evidence", "advice"}
