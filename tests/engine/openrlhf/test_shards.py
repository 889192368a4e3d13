"""Batches cut up for ranks: pure arithmetic, no cluster."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st

from mssr_rl.correction import Correction
from mssr_rl.engine.openrlhf.shards import equal_parts, shards
from mssr_rl.engine_protocol import Rollouts, UpdatePlan
from mssr_rl.loss import Loss
from mssr_rl.objective import Given
from mssr_rl.problem import Problem


def rollouts(problems: int, group_size: int) -> Rollouts:
    rows = problems * group_size
    generator = torch.Generator().manual_seed(0)
    length = torch.randint(1, 5, (rows, 1), generator=generator)
    mask = (torch.arange(4) < length).float()
    logprob = -torch.rand(rows, 4, generator=generator) * mask
    return Rollouts(
        problems=tuple(Problem(key=str(i), prompt="", answer="") for i in range(problems)),
        group_size=group_size,
        responses=("",) * rows,
        token_BT=torch.arange(rows * 4).view(rows, 4),
        mask_BT=mask,
        logprob_BT=logprob,
        entropy_BT=mask,
        truncated_B=torch.zeros(rows, dtype=torch.bool),
        prompt_tokens=0,
        image_tokens=0,
        sampler_logprob_BT=logprob - torch.tensor([0.0, 0.1, -0.1, 2.0]) * mask,
    )


def given(batch: Rollouts) -> Given:
    sampler_BT = batch.sampler_logprob_BT
    whole = Given(batch.mask_BT, batch.logprob_BT, batch.mask_BT, batch.logprob_BT)
    return whole._replace(sampler_BT=sampler_BT)


@drawn(
    ranks=st.sampled_from([1, 2, 4]),
    aggregate=st.sampled_from(["token-mean", "seq-mean-token-mean"]),
)
def test_ranks_share_every_row_once_and_weights_add_up_to_the_update(ranks, aggregate) -> None:
    batch = rollouts(8, 2)
    plan = UpdatePlan(loss=Loss(aggregate=aggregate), samples_per_update=8, seed=1)
    parts = shards(batch, given(batch), plan, ranks)
    assert [len(of_rank) for of_rank in parts] == [2] * ranks
    for update in range(2):
        weight = sum(of_rank[update].weights.terms.sum() for of_rank in parts)
        assert torch.allclose(weight, torch.tensor(1.0), atol=1e-6)
    seen = torch.cat([s.rows.token_BT[:, 0] for of_rank in parts for s in of_rank])
    assert sorted(seen.tolist()) == batch.token_BT[:, 0].tolist()
    for shard in (s for of_rank in parts for s in of_rank):
        for problem, token in zip(shard.rows.problems, shard.rows.token_BT[:, 0], strict=True):
            assert problem.key == str(int(token) // 4 // 2)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_rollouts_that_are_not_counted_weigh_nothing_on_any_rank(ranks: int) -> None:
    batch = rollouts(8, 2)
    counted = torch.arange(16) % 5 != 0
    plan = UpdatePlan(loss=Loss(), samples_per_update=8, seed=1, counted_B=counted)
    parts = shards(batch, given(batch), plan, ranks)
    for update in range(2):
        here = [of_rank[update] for of_rank in parts]
        weight = torch.cat([shard.weights.terms for shard in here])
        rows = torch.cat([shard.rows.token_BT[:, 0] for shard in here]) // 4
        assert torch.allclose(weight.sum(), torch.tensor(1.0), atol=1e-6)
        assert not weight[~counted[rows]].any()
        tokens = (batch.mask_BT[rows] * counted[rows][:, None]).sum()
        there = (weight > 0).float() * weight.max()
        assert torch.allclose(there.sum(), there.max() * tokens, atol=1e-6)


@drawn(count=st.integers(1, 40), parts=st.integers(1, 8))
def test_parts_are_equal_and_miss_nothing(count: int, parts: int) -> None:
    found = equal_parts(count, parts)
    assert len({len(part) for part in found}) == 1
    assert torch.cat(found)[:count].tolist() == list(range(count))


def test_a_correction_weighs_the_surrogate_and_nothing_else() -> None:
    batch = rollouts(4, 1)
    plan = UpdatePlan(loss=Loss(), samples_per_update=4, seed=1)
    corrected = replace(plan, correction=Correction(method="token_truncate"))
    ((plain,),), ((weighed,),) = (shards(batch, given(batch), how, 1) for how in (plan, corrected))
    assert torch.equal(plain.weights.terms, weighed.weights.terms)
    assert torch.equal(plain.weights.surrogate, plain.weights.terms)
    assert not torch.equal(weighed.weights.surrogate, weighed.weights.terms)


def test_a_shorter_last_update_is_filled_with_rows_that_count_nothing() -> None:
    batch = rollouts(6, 1)
    plan = UpdatePlan(loss=Loss(), samples_per_update=4, seed=1)
    parts = shards(batch, given(batch), plan, 2)
    last = [of_rank[1] for of_rank in parts]
    assert [len(shard.rows.problems) for shard in last] == [2, 2]
    assert sum(int((s.weights.terms.sum(1) > 0).sum()) for s in last) == 2
    assert torch.allclose(sum(s.weights.terms.sum() for s in last), torch.tensor(1.0))


@pytest.mark.parametrize("size", [1, 3, 8])
def test_micro_batches_are_cut_to_their_longest_response(size: int) -> None:
    batch = rollouts(8, 1)
    plan = UpdatePlan(loss=Loss(), samples_per_update=8, seed=1)
    ((shard,),) = shards(batch, given(batch), plan, 1)
    parts = list(shard.rows.split(size))
    assert all(part.mask_BT.sum(1).max() == part.mask_BT.shape[1] for part in parts)
    assert sum(part.mask_BT.sum() for part in parts) == batch.mask_BT.sum()
