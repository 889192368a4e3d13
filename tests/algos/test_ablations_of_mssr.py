"""What `compare ablate=all` leaves out of MSSR is really out, and nothing else is."""

import pytest
import torch

from mssr_rl.advantage import Batch
from mssr_rl.algos import algorithms


def advantages(name: str, **options: object) -> list[torch.Tensor]:
    """Three batches of the same four problems, rewarded differently."""
    chain, given = algorithms.make(name, **options).advantage, []
    state = chain.init(4)
    for rewards in ([1, 0, 1, 0], [1, 0, 1, 1], [1, 0, 0, 1]):
        reward_B = torch.tensor(rewards, dtype=torch.float64)
        batch = Batch(
            reward_B=reward_B,
            problem_B=torch.arange(4),
            mask_BT=torch.ones(4, 1),
            logprob_BT=torch.full((4, 1), -1.0),
            entropy_BT=torch.tensor([[0.1], [0.5], [1.0], [0.0]]),
            logprob_ref_BT=torch.full((4, 1), -1.0),
            kl_step=0.005,
            group_size=1,
        )
        step = chain.update(reward_B, batch, state)
        state = step.state
        given.append(step.advantage.double())
    return given


def one_failure(kl_step: float) -> Batch:
    return Batch(
        reward_B=torch.zeros(1, dtype=torch.float64),
        problem_B=torch.zeros(1, dtype=torch.long),
        mask_BT=torch.ones(1, 1),
        logprob_BT=torch.zeros(1, 1),
        entropy_BT=torch.zeros(1, 1),
        logprob_ref_BT=torch.zeros(1, 1),
        kl_step=kl_step,
        group_size=1,
    )


def changes(name: str) -> dict[str, object]:
    return dict(algorithms.make("mvsr").ablations[name])


def test_without_the_tracker_a_reward_is_held_against_its_batch_alone() -> None:
    for a_BT, rewards in zip(
        advantages("mvsr", **changes("without tracker")),
        ([1, 0, 1, 0], [1, 0, 1, 1], [1, 0, 0, 1]),
        strict=True,
    ):
        r = torch.tensor(rewards, dtype=torch.float64)
        expected = (r - r.mean()) / r.std(correction=0)
        assert torch.allclose(a_BT.squeeze(1), expected, atol=1e-5)
    with_tracker = advantages("mvsr")[2].squeeze(1)
    assert not torch.allclose(with_tracker, expected, atol=1e-2)


def test_with_a_fixed_eta_the_kl_plays_no_part() -> None:
    made = algorithms.make("mvsr", **changes("with fixed eta"))
    state = made.advantage.init(1)
    assert made.ablations.keys() == algorithms.make("mvsr").ablations.keys()
    for kl_step in (0.0, 0.1):
        batch = one_failure(kl_step)
        step = made.advantage.update(batch.reward_B, batch, state)
        assert step.metrics["tracker/eta"] == pytest.approx(0.9175)


def test_without_shaping_mssr_is_mvsr() -> None:
    made = algorithms.make("mssr")
    assert made.ablations["without shaping"] == {"algo": "mvsr"}
    shaped, plain = advantages("mssr")[0], advantages("mvsr")[0]
    assert not torch.allclose(shaped, plain)
    assert all(
        torch.allclose(a, b)
        for a, b in zip(advantages("mssr", gamma=1e9), advantages("mvsr"), strict=True)
    )


def differing(name: str, part: str) -> set[str]:
    """The options in which the arm without a part differs from the whole."""
    whole = options_of(name)
    changes = dict(algorithms.make(name).ablations[part])
    other = options_of(str(changes.pop("algo", name)))
    return {key for key, value in {**other, **changes}.items() if whole.get(key) != value}


def options_of(name: str) -> dict[str, object]:
    return {key: option.default for key, option in algorithms.options(name).items()}


@pytest.mark.parametrize("name", ["mssr", "mssr_released"])
def test_without_shaping_only_the_shaping_is_gone(name: str) -> None:
    assert differing(name, "without shaping") == set()


@pytest.mark.parametrize("name", ["mvsr_released", "mssr_released"])
def test_the_released_ones_without_initial_rollouts_keep_the_rest(name: str) -> None:
    assert differing(name, "without initial rollouts") == {"prior", "n_init"}


def test_a_belief_that_nothing_moves_stays_where_it_was() -> None:
    made = algorithms.make("mvsr_released", **changes("without tracker"))
    state = made.advantage.init(1)
    for _ in range(300):
        batch = one_failure(0.0)
        state = made.advantage.update(batch.reward_B, batch, state).state
    found = made.advantage.update(batch.reward_B, batch, state)
    assert found.metrics["tracker/mean"] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("name", algorithms.names())
def test_every_ablation_that_an_algorithm_declares_can_be_made(name: str) -> None:
    for changes in algorithms.make(name).ablations.values():
        options = {key: value for key, value in changes.items() if key != "algo"}
        algorithms.make(str(changes.get("algo", name)), **options)
