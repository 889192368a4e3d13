"""summary.json: final, best, warm start and gain, also of a run that ended before any of them."""

from collections.abc import Callable

import pytest

from mssr_rl.budget import Ledger
from mssr_rl.config import Config
from mssr_rl.config.compose import load
from mssr_rl.run.checkpoint import TrainState
from mssr_rl.run.scoring import Score
from mssr_rl.run.summary import Ending, closing_lines, gpus, summary
from mssr_rl.stability.stability_card import StabilityCard
from mssr_rl.stability.trace import Event

STABLE = StabilityCard("stable", (), 0.0)
OPENRLHF = ("engine=openrlhf", "engine.device=cuda")
DONE = Ending("done", "the budget is spent", STABLE)


def score(step: int, split: str, accuracy: float, sampled: float) -> Score:
    return Score(step, "vision_r1", split, 100, accuracy, sampled, 4)


def test_the_final_policy_counts_and_the_best_is_listed_beside_it(
    configure: Callable[..., Config],
) -> None:
    scores = (
        score(0, "val", 0.40, 0.30),
        score(3, "val", 0.60, 0.40),
        score(6, "val", 0.50, 0.55),
        score(6, "test", 0.52, 0.50),
    )
    ledger = Ledger(rollouts=384, seconds_by_phase={"reward": 2.0, "update": 3.0, "evaluate": 9.0})
    state = TrainState(algorithm=(), step=6, ledger=ledger, scores=scores)
    document = summary(configure(), state, DONE)
    assert document["warm_start"]["val"]["accuracy"] == 0.40
    assert document["final"]["val"]["accuracy"] == 0.50
    assert document["final"]["test"]["accuracy_sampled"] == 0.50
    assert document["best"]["val"] == {
        "accuracy": 0.60,
        "step": 3,
        "accuracy_sampled": 0.55,
        "step_sampled": 6,
    }
    assert round(document["gain"]["val"]["accuracy"], 9) == 0.10
    assert document["ledger"]["seconds"] == 5.0
    assert document["ledger"]["verifier_seconds"] == 2.0
    assert document["ledger"]["gpu_seconds"] == 0.0
    assert closing_lines(document) == [
        "ended   done: the budget is spent",
        "spent   384 rollouts, 0 updates, 5 s of training",
        "val     +10.0 points greedy, +25.0 sampled, from the start to the end",
    ]


def test_a_run_without_evaluations_has_no_accuracy_rather_than_zero(
    configure: Callable[..., Config],
) -> None:
    ending = Ending("interrupted", "ended by SIGINT after step 0", STABLE)
    document = summary(configure(), TrainState(algorithm=()), ending)
    assert document["final"] == {"val": None, "test": None}
    assert document["best"]["val"] is None
    assert document["gain"]["val"] is None
    assert len(closing_lines(document)) == 2


def test_a_single_evaluation_measures_no_gain(
    configure: Callable[..., Config],
) -> None:
    state = TrainState(algorithm=(), step=2, scores=(score(0, "val", 0.4, 0.3),))
    document = summary(configure(), state, DONE)
    assert document["gain"]["val"] is None
    assert document["final"]["val"]["accuracy"] == 0.4


def test_what_the_detectors_noticed_is_said_but_a_collapse_only_as_the_end(
    configure: Callable[..., Config],
) -> None:
    events = (
        Event("grad_spike", "note", 3, "gradient norm 9", "look at it"),
        Event("answer_collapse", "collapse", 5, "no answers", "begin again"),
    )
    ending = Ending(
        "collapsed", "answer_collapse at step 5", StabilityCard("collapsed", events, 0.2)
    )
    document = summary(configure(), TrainState(algorithm=()), ending)
    assert document["stability"]["worst_dip"] == 0.2
    assert [event["event"] for event in document["stability"]["events"]] == [
        "grad_spike",
        "answer_collapse",
    ]
    assert closing_lines(document)[2:] == [
        "note    grad_spike at step 3: gradient norm 9; look at it"
    ]


@pytest.mark.parametrize(
    ("words", "held"),
    [
        ((), 0),
        (("engine.device=cuda",), 1),
        (
            (
                "engine=openrlhf",
                "engine.device=cuda",
                "cluster.gpus_per_node=4",
                "cluster.rollout_engines=4",
            ),
            4,
        ),
    ],
)
def test_gpu_seconds_count_every_gpu(words: tuple[str, ...], held: int) -> None:
    assert gpus(load(["algo=grpo", "env=vision_r1", *words])) == held
