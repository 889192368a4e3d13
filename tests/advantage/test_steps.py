"""Every stateless step against numbers worked by hand, and the laws they keep."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mssr_rl.advantage import (
    Batch,
    Transform,
    chain,
    decided,
    divide_by_group_std,
    return_to_go,
    subtract_group_mean,
    subtract_leave_one_out_mean,
    to_last_token,
    to_tokens,
    whiten_over_batch,
    whiten_over_tokens,
)
from mssr_rl.errors import UserError


def batch(rewards: list[float], lengths: list[int] | None = None, group_size: int = 1) -> Batch:
    lengths = lengths or [1] * len(rewards)
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).double()
    return Batch(
        reward_B=torch.tensor(rewards, dtype=torch.float64),
        problem_B=torch.arange(len(rewards)) // group_size,
        mask_BT=mask,
        logprob_BT=-mask,
        group_size=group_size,
    )


def apply(step: Transform, b: Batch) -> Tensor:
    return step.update(b.reward_B, b, step.init(len(b.reward_B))).advantage


def close(found: Tensor, expected: Sequence[float]) -> bool:
    wanted = torch.tensor(expected, dtype=torch.float64)
    return torch.allclose(found.flatten(), wanted, rtol=0, atol=1e-9)


# ---- chain ---------------------------------------------------------------------------------------


def test_a_chain_is_named_after_its_steps_and_checks_its_seams() -> None:
    made = chain(subtract_group_mean(), divide_by_group_std(), to_tokens())
    assert made.name == "subtract_group_mean > divide_by_group_std > to_tokens"
    assert (made.takes, made.gives) == ("rollout", "token")
    wanted = "whiten_over_batch takes one advantage per rollout, but to_tokens gives one per token"
    with pytest.raises(UserError, match=wanted):
        chain(to_tokens(), whiten_over_batch())


def test_an_empty_chain_is_refused() -> None:
    with pytest.raises(UserError, match="at least one step"):
        chain()


def test_a_chain_of_chains_is_the_chain_of_their_steps() -> None:
    b = batch([1, 0, 0, 1, 1, 0], [2, 1, 3, 1, 1, 2], group_size=3)
    nested = chain(chain(subtract_group_mean(), divide_by_group_std()), chain(to_tokens()))
    flat = chain(subtract_group_mean(), divide_by_group_std(), to_tokens())
    assert nested.name == flat.name
    assert torch.equal(apply(nested, b), apply(flat, b))


# ---- groups --------------------------------------------------------------------------------------

GRPO_1 = batch([1, 0, 0, 0, 1, 1, 0, 0], group_size=4)


def test_group_means_are_taken_per_problem() -> None:
    expected = [0.75, -0.25, -0.25, -0.25, 0.5, 0.5, -0.5, -0.5]
    assert close(apply(subtract_group_mean(), GRPO_1), expected)


def test_leaving_one_out_is_the_mean_of_the_others() -> None:
    third = 1 / 3
    expected = [1, -third, -third, -third, 2 * third, 2 * third, -2 * third, -2 * third]
    assert close(apply(subtract_leave_one_out_mean(), GRPO_1), expected)
    pairs = batch([1, 0, 1, 1], group_size=2)
    assert close(apply(subtract_leave_one_out_mean(), pairs), [1, -1, 0, 0])


def test_groups_that_have_lost_rollouts_are_worked_out_by_hand() -> None:
    """Groups of 3, 1 and 2 of what were 4, 4 and 4: means and spreads of those that are left."""
    left = batch([1, 0, 0, 1, 1, 0], group_size=4)
    left = left._replace(group_size=0, group_B=torch.tensor([0, 0, 0, 1, 2, 2]))
    centred = [2 / 3, -1 / 3, -1 / 3, 0, 0.5, -0.5]
    assert close(apply(subtract_group_mean(), left), centred)
    assert close(apply(subtract_leave_one_out_mean(), left), [1, -0.5, -0.5, 0, 1, -1])
    sample, population = (1 / 3) ** 0.5, (2 / 9) ** 0.5  # of 1, 0, 0
    for kind, spreads in (("sample", (sample, 0.5**0.5)), ("population", (population, 0.5))):
        step = chain(subtract_group_mean(), divide_by_group_std(1e-12, kind))  # type: ignore[arg-type]
        expected = [x / (spreads[0] if i < 3 else spreads[1]) for i, x in enumerate(centred)]
        assert close(apply(step, left), expected)


def test_lost_rollouts_of_two_groups_of_one_problem_are_not_mixed() -> None:
    twice = batch([1, 0, 0, 0, 1], group_size=3)._replace(
        problem_B=torch.zeros(5, dtype=torch.int64),
        group_size=0,
        group_B=torch.tensor([0, 0, 0, 1, 1]),
    )
    third = 1 / 3
    expected = [2 * third, -third, -third, -0.5, 0.5]
    assert close(apply(subtract_group_mean(), twice), expected)


@pytest.mark.parametrize(
    ("group_size", "message"),
    [
        (1, "at least 2 rollouts per problem, not 1; set rollout.group_size, or choose"),
        (3, "8 rollouts are not whole groups of 3; every problem needs 3 consecutive"),
        (8, "a group of 8 consecutive rollouts mixes problems; order the rollouts by problem"),
    ],
)
def test_rollouts_that_are_no_groups_are_refused(group_size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        apply(subtract_group_mean(), GRPO_1._replace(group_size=group_size))


def test_an_eps_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match=r"^eps=0.0 must be above 0$"):
        divide_by_group_std(eps=0.0)


groups = st.integers(2, 6).flatmap(
    lambda g: st.lists(
        st.lists(st.floats(0, 1, width=32), min_size=g, max_size=g), min_size=1, max_size=4
    )
)


@settings(max_examples=50, deadline=None)
@given(groups)
def test_leave_one_out_is_the_group_mean_scaled(rewards: list[list[float]]) -> None:
    g = len(rewards[0])
    b = batch([r for group in rewards for r in group], group_size=g)
    scaled = apply(subtract_group_mean(), b) * g / (g - 1)
    assert torch.allclose(apply(subtract_leave_one_out_mean(), b), scaled, atol=1e-12)
    total = b.reward_B.view(-1, g).sum(1, keepdim=True)
    others = ((total - b.reward_B.view(-1, g)) / (g - 1)).flatten()
    assert torch.allclose(apply(subtract_leave_one_out_mean(), b), b.reward_B - others, atol=1e-12)


@settings(max_examples=50, deadline=None)
@given(reward=st.floats(-1e6, 1e6), g=st.integers(2, 9), eps=st.sampled_from([1e-4, 1e-6, 1e-9]))
def test_a_decided_group_has_zero_advantage(reward: float, g: int, eps: float) -> None:
    b = batch([reward] * g, group_size=g)
    scaled = chain(subtract_group_mean(), divide_by_group_std(eps))
    for step in (subtract_group_mean(), subtract_leave_one_out_mean(), scaled):
        assert (apply(step, b) == 0).all()


@settings(max_examples=50, deadline=None)
@given(rewards=st.permutations([0.0, 0.0, 1.0, 1.0, 0.5]), a=st.floats(0.1, 50), b=st.floats(-5, 5))
def test_dividing_by_the_std_forgets_scale_and_shift(
    rewards: list[float], a: float, b: float
) -> None:
    step = chain(subtract_group_mean(), divide_by_group_std())
    plain = apply(step, batch(rewards, group_size=5))
    moved = apply(step, batch([a * r + b for r in rewards], group_size=5))
    assert torch.allclose(plain, moved, atol=1e-4)  # up to eps / (a * std)


# ---- whitening -----------------------------------------------------------------------------------


def test_equal_values_whiten_to_zero() -> None:
    assert close(apply(whiten_over_batch(), batch([1, 1, 1])), [0, 0, 0])


def test_one_rollout_alone_is_left_as_it_is() -> None:
    for measure in ("sequence", "token"):
        assert close(apply(whiten_over_batch(measure), batch([-0.5])), [-0.5])


def test_the_clamp_keeps_noise_small() -> None:
    assert close(apply(whiten_over_batch(), batch([1e-4, -1e-4])), [0.1, -0.1])


def test_the_token_measure_weighs_by_length() -> None:
    b = batch([0.5, -0.5, -0.5], [4, 1, 5])
    assert close(apply(whiten_over_batch("token"), b), [1.2247448714, -0.8164965809, -0.8164965809])
    assert close(apply(whiten_over_batch(), b), [1.4142135624, -0.7071067812, -0.7071067812])


lengths_and_values = st.lists(
    st.tuples(st.integers(1, 5), st.sampled_from([-1.0, -0.25, 0.0, 0.5, 1.0])),
    min_size=2,
    max_size=9,
).filter(lambda pairs: len({value for _, value in pairs}) > 1)


@settings(max_examples=50, deadline=None)
@given(lengths_and_values)
def test_whitening_gives_mean_0_and_variance_1_under_its_own_measure(
    pairs: list[tuple[int, float]],
) -> None:
    lengths, values = [n for n, _ in pairs], [v for _, v in pairs]
    b = batch(values, lengths)
    length_B = torch.tensor(lengths, dtype=torch.float64)
    for measure, weight_B in (("sequence", torch.ones_like(length_B)), ("token", length_B)):
        a_B = apply(whiten_over_batch(measure), b)  # type: ignore[arg-type]
        assert (weight_B * a_B).sum().item() == pytest.approx(0, abs=1e-9)
        assert ((weight_B * a_B**2).sum() / weight_B.sum()).item() == pytest.approx(1)
    tokens = apply(chain(to_tokens(), whiten_over_tokens()), b)
    by_token = apply(chain(whiten_over_batch("token"), to_tokens()), b)
    assert torch.allclose(tokens, by_token)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.integers(1, 4))
def test_at_equal_lengths_the_two_measures_agree(values: list[float], length: int) -> None:
    b = batch(values, [length] * len(values))
    assert torch.allclose(apply(whiten_over_batch("token"), b), apply(whiten_over_batch(), b))


def test_whitening_over_tokens_counts_every_token_once() -> None:
    b = batch([1, 0, 1], [3, 4, 1])
    white = apply(chain(to_tokens(), whiten_over_tokens()), b)
    assert close(white[b.mask_BT > 0], [1] * 3 + [-1] * 4 + [1])


# ---- tokens --------------------------------------------------------------------------------------


def test_every_token_of_a_response_gets_its_advantage_and_padding_nothing() -> None:
    found = apply(to_tokens(), batch([2, 3, 5], [2, 3, 0]))
    assert found.tolist() == [[2, 2, 0], [3, 3, 3], [0, 0, 0]]


def test_token_advantages_have_the_dtype_of_the_mask() -> None:
    b = batch([1, 0], [2, 1])
    b = b._replace(mask_BT=b.mask_BT.float())
    assert apply(to_tokens(), b).dtype == torch.float32
    assert apply(chain(to_tokens(), whiten_over_tokens()), b).dtype == torch.float32


def test_the_reward_sits_on_the_last_token() -> None:
    found = apply(to_last_token(), batch([2, 3, 5], [2, 3, 0]))
    assert found.tolist() == [[0, 2, 0], [0, 0, 3], [0, 0, 0]]


def test_returns_are_discounted_back_from_it() -> None:
    b = batch([1, 2], [3, 2])
    step = chain(to_last_token(), return_to_go(0.5))
    assert apply(step, b).tolist() == [[0.25, 0.5, 1], [1, 2, 0]]
    undiscounted = chain(to_last_token(), return_to_go())
    assert torch.equal(apply(undiscounted, b), apply(to_tokens(), b))


def test_returns_add_up_rewards_along_the_response() -> None:
    b = batch([0, 0], [3, 2])
    reward_BT = torch.tensor([[1.0, 2, 4], [1, 2, 0]], dtype=torch.float64)
    found = return_to_go(0.5).update(reward_BT, b, None).advantage
    assert found.tolist() == [[3, 4, 4], [2, 2, 0]]


@pytest.mark.parametrize("gamma", [-0.1, 1.1])
def test_a_discount_outside_0_and_1_is_refused(gamma: float) -> None:
    with pytest.raises(UserError, match=f"^gamma={gamma} must be between 0 and 1$"):
        return_to_go(gamma)


def test_rewards_that_are_equal_up_to_a_rounding_are_one_reward() -> None:
    group = [0.3, 0.1 + 0.2, 0.3, 0.3]  # the second is 0.30000000000000004
    mean = apply(subtract_group_mean(), batch(group, group_size=4))
    assert (mean == 0).all()
    assert decided(torch.tensor([group, [0.3, 0.300001, 0.3, 0.3]]).double()).tolist() == [
        True,
        False,
    ]
