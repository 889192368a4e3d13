"""Group and batch algorithms against numbers worked by hand: Dr. GRPO, RLOO, REINFORCE++."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mssr_rl.advantage import Batch
from mssr_rl.algos import algorithms
from mssr_rl.errors import UserError

TWO_GROUPS = [1.0, 0, 0, 0, 1, 1, 0, 0]


def advantages(name: str, rewards: list[float], batch: dict[str, Any], **options: Any) -> Tensor:
    """[B, T] of one step; `batch` may hold lengths, group and log-probabilities."""
    lengths = torch.tensor(batch.get("lengths", [1] * len(rewards)))
    group = batch.get("group", 1)
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).double()
    reward_B = torch.tensor(rewards, dtype=torch.float64)
    b = Batch(
        reward_B,
        torch.arange(len(rewards)) // group,
        mask,
        batch.get("old", -mask),
        logprob_ref_BT=batch.get("ref"),
        group_size=group,
        greedy_B=batch.get("greedy"),
    )
    advantage = algorithms.make(name, **options).advantage
    return advantage.update(reward_B, b, advantage.init(len(rewards))).advantage


def firsts(name: str, rewards: list[float], batch: dict[str, Any], **options: Any) -> list[float]:
    found: list[float] = advantages(name, rewards, batch, **options)[:, 0].tolist()
    return found


def test_dr_grpo_leaves_out_the_standard_deviation() -> None:
    found = firsts("dr_grpo", TWO_GROUPS, {"group": 4})
    assert found == [0.75, -0.25, -0.25, -0.25, 0.5, 0.5, -0.5, -0.5]


def test_rloo_of_two_groups_and_of_pairs() -> None:
    third = 1 / 3
    assert firsts("rloo", TWO_GROUPS, {"group": 4}) == pytest.approx(
        [1, -third, -third, -third, 2 * third, 2 * third, -2 * third, -2 * third]
    )
    assert firsts("rloo", [1, 0, 1, 1], {"group": 2}) == [1, -1, 0, 0]


def test_reinforce_pp_baseline_whitens_over_tokens() -> None:
    batch = {"group": 4, "lengths": [2, 3, 1, 4, 2, 2, 3, 1]}
    expected = [1.7364862842, *[-0.4961389384] * 3, *[1.1783299786] * 2, *[-1.054295244] * 2]
    assert firsts("reinforce_pp_baseline", TWO_GROUPS, batch) == pytest.approx(expected, abs=1e-9)


def test_batch_mean_counts_every_response_once() -> None:
    batch = {"lengths": [1, 9, 2, 2, 5]}
    assert firsts("batch_mean", [1, 0, 0, 1, 1], batch) == pytest.approx(
        [0.4, -0.6, -0.6, 0.4, 0.4]
    )


def test_remax_holds_every_response_against_the_greedy_one() -> None:
    greedy = torch.tensor([1.0, 1, 0, 0, 0.5])
    found = firsts("remax", [1, 0, 0, 1, 1], {"lengths": [1, 9, 2, 2, 5], "greedy": greedy})
    assert found == [0, -1, 0, 1, 0.5]
    with pytest.raises(UserError, match="needs the reward of a greedy response to every problem"):
        firsts("remax", [1, 0], {})


def test_noisy_rollout_credits_clean_and_noisy_rollouts_as_one_group() -> None:
    found = firsts("noisy_rollout", TWO_GROUPS, {"group": 4})
    assert found == firsts("grpo", TWO_GROUPS, {"group": 4})
    distortion = algorithms.make("noisy_rollout").distortion
    assert distortion is not None
    assert [distortion.rollouts(size) for size in (2, 3, 5, 8)] == [1, 2, 2, 4]


OLD = torch.tensor([[-0.5, -1.0], [-0.2, 0.0], [-0.7, -0.1], [-0.3, 0.0]]).double()
REF = torch.tensor([[-0.7, -0.9], [-0.1, 0.0], [-0.7, -0.4], [-0.5, 0.0]]).double()
KL = {"old": OLD, "ref": REF, "lengths": [2, 1, 2, 1]}


def test_rloo_can_take_the_kl_of_a_response_off_its_reward() -> None:
    # sum_t (old - ref) = 0.1, -0.1, 0.3, 0.2; with 0.5 the costs are 0.05, -0.05, 0.15, 0.1.
    found = firsts("rloo", [1, 0, 1, 0], {**KL, "group": 2}, kl_in="reward", kl_coef=0.5)
    assert found == pytest.approx([0.9, -0.9, 0.95, -0.95])
    assert algorithms.make("rloo", kl_in="reward", kl_coef=0.5).loss.kl_coef == 0


def test_reinforce_pp_can_take_the_kl_off_at_every_token() -> None:
    # Returns to go: [1 - .05, 1 + .05], [.05], [1 - .15, 1 - .15], [-.1], over six tokens.
    found = advantages("reinforce_pp", [1, 0, 1, 0], KL, kl_in="reward", kl_coef=0.5)
    returns = torch.tensor([0.95, 1.05, 0.05, 0.85, 0.85, -0.1]).double()
    white = (returns - returns.mean()) / returns.std(correction=0)
    assert torch.allclose(found[torch.tensor([[1, 1], [1, 0], [1, 1], [1, 0]]).bool()], white)


@pytest.mark.parametrize("name", ["rloo", "reinforce_pp"])
def test_a_kl_in_the_reward_has_one_form_and_needs_the_reference(name: str) -> None:
    with pytest.raises(Exception, match="kl_estimator=k2 must be left at k3 where kl_in=reward"):
        algorithms.make(name, kl_in="reward", kl_estimator="k2")
    with pytest.raises(Exception, match="kl_in=reward needs the log-probabilities of the frozen"):
        advantages(name, [1, 0], {"group": 2}, kl_in="reward")


rewards = st.lists(st.sampled_from([0.0, 1.0, 0.1, 0.5]), min_size=8, max_size=8)


@given(rewards)
def test_rloo_is_dr_grpo_scaled(of: list[float]) -> None:
    four = {"group": 4}
    scaled = [4 / 3 * a for a in firsts("dr_grpo", of, four)]
    assert firsts("rloo", of, four) == pytest.approx(scaled, abs=1e-12)


@given(st.floats(0, 1), st.sampled_from(["grpo", "dr_grpo", "rloo", "reinforce_pp_baseline"]))
def test_a_decided_group_teaches_nothing(reward: float, name: str) -> None:
    assert firsts(name, [reward] * 6, {"group": 3}) == pytest.approx([0] * 6, abs=1e-9)


@given(rewards, st.floats(0.1, 10), st.floats(-5, 5))
def test_grpo_does_not_mind_the_unit_of_reward(of: list[float], a: float, b: float) -> None:
    moved = firsts("grpo", [a * r + b for r in of], {"group": 4}, eps=1e-12)
    assert moved == pytest.approx(firsts("grpo", of, {"group": 4}, eps=1e-12), abs=1e-5)
