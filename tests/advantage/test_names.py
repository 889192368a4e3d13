"""A chain is shown under the names of its steps, and a step has the name of its function."""

import inspect

import pytest

from mssr_rl import advantage
from mssr_rl.advantage import DriftTracker, EventTracker, Tracker, Transform

ARGUMENTS = {
    "subtract_tracked_value": {"tracker": Tracker()},
    "subtract_drifting_value": {"tracker": DriftTracker()},
    "shape_by_entropy": {"gamma": 1.0, "lam": 1.0},
    "penalise_overlong": {"buffer": 4, "factor": 1.0},
    "subtract_kl_of_response": {"coef": 0.1},
    "subtract_kl_of_token": {"coef": 0.1},
    "subtract_moving_average": {"decay": 0.9, "moves": "batch"},
    "subtract_fading_value": {"tracker": EventTracker()},
    "keep_some_tokens_of_failures": {"share": 0.5, "by": "entropy"},
}
STEPS = {
    name: made
    for name, made in vars(advantage).items()
    if inspect.isfunction(made)
    and inspect.signature(made).return_annotation in (Transform, "Transform")
}


@pytest.mark.parametrize("name", sorted(set(STEPS) - {"chain", "stateless"}))
def test_a_step_is_called_what_its_function_is_called(name: str) -> None:
    assert STEPS[name](**ARGUMENTS.get(name, {})).name == name


def test_the_steps_of_the_package_are_looked_at() -> None:
    assert {"subtract_group_mean", "standardise_over_batch", *ARGUMENTS} <= set(STEPS)
