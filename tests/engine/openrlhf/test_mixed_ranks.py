"""Ranks that sample themselves, and batches in which only some problems have pictures."""

from dataclasses import replace

import pytest
import torch

from mssr_rl.engine import make_engine
from mssr_rl.engine.openrlhf.shards import RankRows, with_picture
from mssr_rl.engine_protocol import Sampling, UpdatePlan
from mssr_rl.loss import Loss
from mssr_rl.prompts import blinded

OWN = "rollout.sampler=transformers"
SAMPLING = Sampling(max_response_tokens=20)


def test_rows_without_a_picture_get_one_that_no_loss_counts(problems):
    rows = RankRows(
        tuple(map(blinded, problems)), torch.ones(4, 3, dtype=torch.long), torch.ones(4, 3)
    )
    more = with_picture(rows)
    assert len(more.problems) == 5
    assert len(more.problems[-1].images) == 1
    assert torch.equal(more.mask_BT[:4], rows.mask_BT)
    assert float(more.mask_BT[4].sum()) == 0
    pictured = rows._replace(problems=tuple(problems))
    assert with_picture(pictured) is pictured


@pytest.mark.cluster
@pytest.mark.parametrize(
    "words",
    [(OWN, "cluster.zero_stage=2"), ("cluster.colocate=false", "cluster.zero_stage=3")],
    ids=["ZeRO-2", "ZeRO-3"],
)
def test_two_ranks_train_a_mixed_batch_as_one_rank_does(ray_session, settings, problems, words):
    mixed = [problems[0], blinded(problems[1]), blinded(problems[2]), blinded(problems[3])]
    mixed = [replace(problem, key=f"mixed {i}") for i, problem in enumerate(mixed)]
    plan = UpdatePlan(loss=Loss(), samples_per_update=8, seed=5)
    after, stats, credit = [], [], None
    for more in ((OWN,), ("cluster.gpus_per_node=2", *words)):
        engine = make_engine(settings(*more))
        try:
            if credit is None:
                rollouts = engine.rollout(mixed, 4, SAMPLING, seed=1)
                credit = torch.linspace(-1, 1, 16)[:, None] * rollouts.mask_BT
                gap = (rollouts.logprob_BT - rollouts.sampler_logprob_BT).abs().max()
                assert gap < 1e-4  # the ranks' own sampler
            stats.append(engine.update(rollouts, credit, rollouts.logprob_BT, plan))
            after.append(engine.logprob(rollouts, range(4)))
        finally:
            engine.close()
    assert torch.allclose(torch.tensor(stats[0][:4]), torch.tensor(stats[1][:4]), atol=1e-4)
    near = 1e-4 * max(1.0, float((after[0] - rollouts.logprob_BT).abs().max()))
    assert torch.allclose(after[0], after[1], atol=near)
