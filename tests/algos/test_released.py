"""The presets of the authors' code: their values, and several steps worked through by hand."""

import pytest
import torch

from mssr_rl.advantage import Batch, Beliefs, find_beliefs
from mssr_rl.advantage.transform import Step
from mssr_rl.algos import algorithms
from mssr_rl.errors import UserError


def test_the_presets_are_the_plain_algorithms_with_other_values() -> None:
    values = {"eta_schedule": "released", "kl_source": "reference", "kl_window": 10}
    prior = {"prior": "rollouts", "n_init": 1}
    for preset, plain in (("mvsr_released", "mvsr"), ("mssr_released", "mssr")):
        ours, theirs = algorithms.options(plain), algorithms.options(preset)
        changed = {n: o.default for n, o in theirs.items() if o.default != ours[n].default}
        shaping = {"gamma": 2.0, "lam": 0.4, "entropy": "plogp"} if plain == "mssr" else {}
        assert changed == {**values, **prior, **shaping}


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [([1], (8, 0)), ([0], (0, 8)), ([1, 0, 1], (5.3333333333, 2.6666666667))],
)
def test_initial_answers_are_worth_eight(
    outcomes: list[int], expected: tuple[float, float]
) -> None:
    advantage = algorithms.make("mvsr_released", n_init=len(outcomes)).advantage
    assert advantage.initial is not None
    assert advantage.initial.per_problem == len(outcomes)
    learned = advantage.initial.learn(advantage.init(1), torch.tensor([outcomes]))
    found = find_beliefs(learned)
    assert found is not None
    assert (found.alpha_N.item(), found.beta_N.item()) == pytest.approx(expected, abs=1e-9)


def test_without_them_every_problem_starts_even() -> None:
    for name in ("mvsr", "mvsr_released"):
        found = find_beliefs(algorithms.make(name).advantage.init(1))
        assert found is not None
        assert (found.alpha_N.item(), found.beta_N.item()) == (4, 4)
    assert algorithms.make("mvsr").advantage.initial is None


def test_initial_answers_need_a_prior_that_asks_for_them() -> None:
    with pytest.raises(UserError, match="n_init=1 must be at least 1, and null unless prior=rollo"):
        algorithms.make("mssr_released", prior="uniform")
    assert algorithms.make("mssr_released", prior="uniform", n_init=None)


# Five steps of one token a response, whose KL to the reference (k3 of lp - ref) runs through five
# levels below and above the target; eta and the counts are followed with pencil and paper rules.
LEVELS = [0.0, 0.05, 0.1, 0.16, 0.4]  # lp - ref; the last lifts the mean over the target
REWARDS = [[1, 0], [0, 0], [1, 1], [0, 1], [1, 0]]


def released_eta(kl_mean: float) -> float:
    return 0.875 if kl_mean > 0.01 else 0.875 + kl_mean / 0.01 * 0.085


def test_five_steps_at_five_levels_of_kl() -> None:
    advantage = algorithms.make("mssr_released").advantage
    state = advantage.init(2)
    alpha, beta = [4.0, 4.0], [4.0, 4.0]
    history: list[float] = []
    for level, rewards in zip(LEVELS, REWARDS, strict=True):
        step = _step(advantage.update, state, level, rewards)
        raw = [r - a / (a + b) for r, a, b in zip(rewards, alpha, beta, strict=True)]
        mean = sum(raw) / 2
        spread = max(sum((x - mean) ** 2 for x in raw) / 2, 1e-6) ** 0.5
        white = [(x - mean) / spread for x in raw]
        h = 0.6 * 0.5108256237659907  # -p log p at p = 0.6
        shaped = [w + min(abs(w) / 2, 0.4 * h) for w in white]
        assert step.advantage[:, 0].tolist() == pytest.approx(shaped, abs=1e-9)
        history.append(2.718281828459045**-level + level - 1)
        eta = released_eta(sum(history) / len(history))
        assert step.metrics["tracker/eta"] == pytest.approx(eta, abs=1e-9)
        alpha = [eta * a + r for a, r in zip(alpha, rewards, strict=True)]
        beta = [eta * b + 1 - r for b, r in zip(beta, rewards, strict=True)]
        state = step.state
    found = find_beliefs(state)
    assert isinstance(found, Beliefs)
    assert found.alpha_N.tolist() == pytest.approx(alpha, abs=1e-9)
    assert found.beta_N.tolist() == pytest.approx(beta, abs=1e-9)


def _step(update, state, level: float, rewards: list[int]) -> Step:  # type: ignore[no-untyped-def]
    mask = torch.ones(2, 1, dtype=torch.float64)
    logprob = torch.full((2, 1), 0.6, dtype=torch.float64).log()
    b = Batch(
        torch.tensor(rewards, dtype=torch.float64),
        torch.arange(2),
        mask,
        logprob,
        logprob_ref_BT=logprob - level,
    )
    found: Step = update(b.reward_B, b, state)
    return found
