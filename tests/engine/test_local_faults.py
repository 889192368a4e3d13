"""The local engine meets a number that is no number: it says which, and keeps its weights."""

from collections.abc import Callable

import pytest
import torch

from mssr_rl.engine.local import LocalEngine, LocalOptions
from mssr_rl.engine_protocol import Sampling, UpdatePlan
from mssr_rl.envs.families import row
from mssr_rl.loss import Loss
from mssr_rl.problem import Problem
from mssr_rl.prompts import posed
from mssr_rl.stability.finite import NonFinite

NAN = float("nan")
PLAN = UpdatePlan(loss=Loss(), samples_per_update=4, seed=5)


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return LocalEngine(LocalOptions(model="tiny", lr=1e-3))


def weights(engine: LocalEngine) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in engine.policy.parameters()])


def problem(index: int) -> Problem:
    made = row("clock", "val", 1, index)
    image = made["images"][0]["bytes"]
    asked = Problem(key=made["id"], prompt=made["problem"], answer=made["answer"], images=(image,))
    return posed(asked, "short")


def spoil_reference(rollouts: object, advantage: torch.Tensor, reference: torch.Tensor) -> None:
    reference[0, 0] = NAN


def spoil_advantage(rollouts: object, advantage: torch.Tensor, reference: torch.Tensor) -> None:
    advantage[0, 0] = float("inf")


@pytest.mark.parametrize("spoil", [spoil_reference, spoil_advantage])
def test_a_loss_that_is_no_number_changes_no_weight(
    engine: LocalEngine, spoil: Callable[..., None]
) -> None:
    rollouts = engine.rollout([problem(i) for i in range(4)], 1, Sampling(), seed=1)
    reference_BT = engine.reference_logprob(rollouts)
    advantage_BT = torch.ones_like(reference_BT)
    spoil(rollouts, advantage_BT, reference_BT)
    before = weights(engine)
    with pytest.raises(NonFinite, match="the loss is not finite") as caught:
        engine.update(rollouts, advantage_BT, reference_BT, PLAN)
    assert sorted(caught.value.problem_rows or ()) == [0, 1, 2, 3]
    assert torch.equal(weights(engine), before)


def test_the_first_parameter_with_a_bad_gradient_is_named_and_no_weight_changes(
    engine: LocalEngine,
) -> None:
    rollouts = engine.rollout([problem(i) for i in range(4)], 1, Sampling(), seed=1)
    reference_BT = engine.reference_logprob(rollouts)
    named = list(engine.policy.named_parameters())
    name, parameter = named[len(named) // 2]
    hook = parameter.register_hook(lambda gradient: gradient * NAN)
    before = weights(engine)
    try:
        with pytest.raises(NonFinite) as caught:
            engine.update(rollouts, torch.ones_like(reference_BT), reference_BT, PLAN)
    finally:
        hook.remove()
    assert caught.value.tensor == f"the gradient of {name}"
    assert torch.equal(weights(engine), before)
    engine.update(rollouts, torch.ones_like(reference_BT), reference_BT, PLAN)
    assert torch.isfinite(weights(engine)).all()


def test_a_policy_that_is_broken_is_found_in_what_it_says(engine: LocalEngine) -> None:
    broken = LocalEngine(LocalOptions(model="tiny"))
    with torch.no_grad():
        next(iter(broken.policy.parameters()))[0] = NAN
    rollouts = engine.rollout([problem(i) for i in range(4)], 1, Sampling(), seed=1)
    reference_BT = engine.reference_logprob(rollouts)
    with pytest.raises(NonFinite, match="the new log-probability is not finite"):
        broken.update(rollouts, torch.ones_like(reference_BT), reference_BT, PLAN)
