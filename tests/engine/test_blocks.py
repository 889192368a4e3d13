"""Micro-batches of the local engine hold about as many tokens whatever the group size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mssr_rl.engine.blocks import Tokens, block_of, by_tokens, even, problems_together
from mssr_rl.engine.regroup import rollouts_of

COUNT = st.integers(1, 64)
MANY = st.integers(1, 10_000)


@given(COUNT, MANY, MANY)
def test_rollouts_with_prompts_of_their_own_are_counted(micro_batch, prompt, response):
    assert problems_together(micro_batch, 1, Tokens(prompt, response)) == micro_batch


@given(COUNT, COUNT, MANY, MANY)
def test_a_block_of_groups_has_no_more_tokens_than_one_of_single_rollouts(
    micro_batch, group_size, prompt, response
):
    """`prompt` tokens of a problem, `response` tokens of a rollout."""
    tokens = Tokens(prompt, group_size * response)
    problems = problems_together(micro_batch, group_size, tokens)
    group = prompt + group_size * response
    assert problems >= 1
    assert problems == 1 or problems * group <= micro_batch * (prompt + response)
    assert (problems + 1) * group > micro_batch * (prompt + response)


@pytest.mark.parametrize(("response", "problems"), [(1, 14), (20, 5), (1000, 2)])
def test_the_longer_the_responses_the_less_a_shared_prompt_saves(response, problems):
    assert problems_together(16, 8, Tokens(50, 8 * response)) == problems


def test_no_response_at_all_is_a_block_too():
    assert problems_together(16, 8, Tokens(0, 0)) == 1


@given(MANY, COUNT)
def test_blocks_are_even_not_too_large_and_work_for_two_cores(problems, most):
    size = even(problems, most)
    assert 1 <= size <= most
    blocks = [len(part) for part in torch.arange(problems).split(size)]
    fewest = max(-(-problems // most), min(2, problems))
    assert len(blocks) == fewest


def test_rollouts_of_a_problem_stand_together():
    assert rollouts_of(torch.tensor([2, 0]), 3).tolist() == [6, 7, 8, 0, 1, 2]


GROUPS = st.integers(1, 5).flatmap(
    lambda g: st.lists(
        st.tuples(MANY, st.lists(MANY, min_size=g, max_size=g)), min_size=1, max_size=8
    )
)


@given(GROUPS, st.integers(1, 30_000))
def test_blocks_by_tokens_hold_every_rollout_once_in_order_and_keep_the_bound(groups, most):
    prompts, responses = [p for p, _ in groups], [r for _, r in groups]
    seen = []
    for problems, group in by_tokens(prompts, responses, most):
        tokens = sum(prompts[p] + sum(responses[p][g] for g in group) for p in problems)
        assert tokens <= most or len(problems) == len(group) == 1
        assert len(problems) == 1 or len(group) == len(responses[0])
        seen += [(p, g) for p in problems for g in group]
    assert seen == [(p, g) for p in range(len(prompts)) for g in range(len(responses[0]))]


def test_a_group_that_is_too_large_is_split_and_small_ones_stay_together():
    blocks = list(by_tokens([10, 10, 10], [[5, 5], [40, 40], [5, 5]], 60))
    assert blocks == [
        (range(1), range(2)),
        (range(1, 2), range(1)),
        (range(1, 2), range(1, 2)),
        (range(2, 3), range(2)),
    ]
    block = block_of(torch.tensor([7, 3, 0]), 2, blocks[2])
    assert block.problems.tolist() == [3]
    assert block.rollouts.tolist() == [7]
