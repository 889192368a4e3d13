"""The ledger adds up, books what it should, and no plan exceeds its budget."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.budget import COUNTS, FREE_PHASES, Coming, Ledger, allowance, exhausted
from mssr_rl.config.schema import BudgetConfig
from mssr_rl.errors import UserError

counts = st.integers(min_value=0, max_value=10**12)
phases = st.dictionaries(
    st.sampled_from(["rollout", "reward", "update", "evaluate"]),
    st.integers(0, 1000).map(lambda ms: ms / 8),  # eighths add up exactly
)
ledgers = st.builds(
    Ledger,
    **dict.fromkeys(COUNTS, counts),
    seconds_by_phase=phases,
)


@given(ledgers, ledgers, ledgers)
def test_ledgers_add_up_in_any_order(a: Ledger, b: Ledger, c: Ledger) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + Ledger() == a


@given(ledgers, ledgers)
def test_every_count_of_a_sum_is_the_sum_of_the_counts(a: Ledger, b: Ledger) -> None:
    for name in COUNTS:
        assert getattr(a + b, name) == getattr(a, name) + getattr(b, name)
    assert (a + b).seconds == a.seconds + b.seconds


@given(ledgers)
def test_a_ledger_survives_json(ledger: Ledger) -> None:
    assert Ledger.from_dict(json.loads(json.dumps(ledger.as_dict()))) == ledger


def test_evaluation_is_listed_but_not_charged() -> None:
    spent = Ledger(evaluation_rollouts=512, seconds_by_phase={"evaluate": 3.0, "checkpoint": 1.0})
    assert spent.marks() == Ledger().marks()
    assert spent.as_dict()["evaluation_rollouts"] == 512
    assert spent.as_dict()["seconds_by_phase"]["evaluate"] == 3.0


def test_adding_writes_to_neither_side() -> None:
    a, b = Ledger(seconds_by_phase={"update": 1.0}), Ledger(seconds_by_phase={"update": 2.0})
    assert (a + b).seconds_by_phase == {"update": 3.0}
    assert a.seconds_by_phase == {"update": 1.0}
    assert b.seconds_by_phase == {"update": 2.0}


def test_the_marks_are_contract_b_s_budget_keys() -> None:
    assert list(Ledger().marks()) == [
        "rollouts",
        "prompts",
        "updates",
        "generated_tokens",
        "trained_tokens",
        "seconds",
    ]
    assert "rollout" not in FREE_PHASES


@given(st.integers(1, 10**9), st.integers(1, 10**4), st.integers(0, 10**4))
def test_whole_steps_and_the_rest_make_up_the_budget(total: int, step: int, initial: int) -> None:
    if total - initial < step:
        with pytest.raises(UserError):
            allowance(total, step, initial)
        return
    bought = allowance(total, step, initial)
    assert initial + bought.steps * step + bought.left == total
    assert 0 <= bought.left < step


def test_a_budget_below_one_step_is_refused_in_a_sentence() -> None:
    with pytest.raises(UserError, match=r"budget\.rollouts=100 is too small for one step"):
        allowance(100, 256)


STEP = Coming(rollouts=64, updates=4, gpus=2)


def test_a_step_that_would_exceed_rollouts_or_updates_is_not_taken() -> None:
    bounds = BudgetConfig(rollouts=1000, updates=10)
    assert exhausted(Ledger(rollouts=936, updates=6), bounds, STEP) is None
    assert exhausted(Ledger(rollouts=937), bounds, STEP) == "the budget is spent"
    said = exhausted(Ledger(rollouts=64, updates=7), bounds, STEP)
    assert said == "budget.updates=10 is too small for one step"


def test_no_step_begins_once_tokens_or_seconds_are_spent() -> None:
    tokens = BudgetConfig(rollouts=1000, generated_tokens=500)
    assert exhausted(Ledger(generated_tokens=499), tokens, STEP) is None
    said = exhausted(Ledger(generated_tokens=500), tokens, STEP)
    assert said == "budget.generated_tokens=500 is spent"
    seconds = BudgetConfig(rollouts=1000, seconds=2.5)
    free = Ledger(seconds_by_phase={"evaluate": 100.0, "rollout": 2.0})
    assert exhausted(free, seconds, STEP) is None
    assert exhausted(free + Ledger(seconds_by_phase={"update": 0.5}), seconds, STEP)


@pytest.mark.parametrize("name", ["prompts", "image_tokens", "trained_tokens"])
def test_every_other_count_can_be_bounded_too(name: str) -> None:
    bounds = BudgetConfig(rollouts=1000, **{name: 10})
    assert exhausted(Ledger(**{name: 9}), bounds, STEP) is None
    assert exhausted(Ledger(**{name: 10}), bounds, STEP) == f"budget.{name}=10 is spent"


def test_so_can_the_time_of_the_verifier_and_of_gpus() -> None:
    spent = Ledger(seconds_by_phase={"reward": 1.0, "update": 2.0})  # 3 s on two GPUs
    for name, seconds in (("verifier_seconds", 1.0), ("gpu_seconds", 6.0)):
        enough = BudgetConfig(rollouts=1000, **{name: seconds})
        more = BudgetConfig(rollouts=1000, **{name: seconds + 0.1})
        assert exhausted(spent, enough, STEP) == f"budget.{name}={seconds} is spent"
        assert exhausted(spent, more, STEP) is None
