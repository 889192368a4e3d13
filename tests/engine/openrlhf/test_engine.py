"""The openrlhf engine for real, on CPU: the protocol's promises, equality with the local one."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mssr_rl.algos import algorithms
from mssr_rl.engine.blocks import MicroBatch
from mssr_rl.engine.local import LocalEngine, LocalOptions
from mssr_rl.engine_protocol import Rollouts, Sampling, UpdatePlan
from mssr_rl.loss import Loss, losses
from mssr_rl.metric_names import SAMPLER_GAP_MAX
from mssr_rl.models.family import ScoredResponses
from mssr_rl.models.sampled import widen
from mssr_rl.objective import Extras, ViewTerm
from mssr_rl.prompts import blinded
from mssr_rl.run import mismatch, trainer
from mssr_rl.views import without_pictures

pytestmark = pytest.mark.cluster
SAMPLING = Sampling(max_response_tokens=40)


def plan(**loss) -> UpdatePlan:
    return UpdatePlan(loss=Loss(**loss), samples_per_update=8, seed=5)


def credit(rollouts: Rollouts) -> torch.Tensor:
    rows = len(rollouts.responses)
    return torch.linspace(-1, 1, rows)[:, None] * rollouts.mask_BT


def local() -> LocalEngine:
    return LocalEngine(LocalOptions(model="tiny", lr=1e-3))


def locally(rollouts: Rollouts) -> ScoredResponses:
    """Return what the local engine with the same weights makes of all rollouts, with T columns."""
    one = local()
    whole = MicroBatch(torch.arange(len(rollouts.problems)), torch.arange(len(rollouts.responses)))
    width = rollouts.mask_BT.shape[1]
    with torch.no_grad():
        scored = one._score(one.policy, one._read, rollouts, whole)
    return ScoredResponses(*(widen(x_BT, width) for x_BT in scored))


def test_vllm_samples_what_the_policy_scores(engine, problems) -> None:
    rollouts = engine.rollout(problems, 4, SAMPLING, seed=1)
    assert rollouts.token_BT.shape[0] == len(rollouts.responses) == 16
    assert len(set(rollouts.responses)) > 4  # a group's seeds differ
    assert rollouts.image_tokens == 4 * 9
    assert mismatch.metrics(rollouts)[SAMPLER_GAP_MAX] < 5e-4
    lengths = rollouts.mask_BT.sum(1)
    assert bool((lengths[~rollouts.truncated_B] <= 40).all())
    assert bool((lengths[rollouts.truncated_B] == 40).all())


def test_a_seed_decides_the_rollouts_and_another_gives_others(engine, problems) -> None:
    first, again, other = (engine.rollout(problems, 2, SAMPLING, seed) for seed in (1, 1, 2))
    assert first.responses == again.responses
    assert first.responses != other.responses


def test_the_reference_reads_ahead_until_it_was_in_vain_and_says_the_same(engine, problems) -> None:
    engine.engine.ahead, engine.engine.foresees = None, True
    rollouts = engine.rollout(problems, 2, SAMPLING, seed=1)
    assert engine.ahead is not None
    ahead = engine.reference_logprob(rollouts)
    assert torch.equal(engine.reference_logprob(rollouts), ahead)
    assert engine.foresees
    other = engine.rollout(problems, 2, SAMPLING, seed=2)
    assert torch.equal(engine.reference_logprob(rollouts), ahead)  # not what it read of the other
    assert not torch.equal(engine.reference_logprob(other), ahead)
    assert not engine.foresees


def test_nobody_scores_what_nobody_wants_scored(engine, problems) -> None:
    scored = engine.rollout(problems, 2, SAMPLING, seed=1)
    only_texts = engine.rollout(problems, 2, replace(SAMPLING, scored=False), seed=1)
    assert only_texts.responses == scored.responses
    assert not only_texts.logprob_BT.any()


def test_both_engines_score_the_same_responses_alike(engine, problems) -> None:
    rollouts = engine.rollout(problems, 2, SAMPLING, seed=1)
    scored = locally(rollouts)
    assert torch.allclose(scored.logprob_BT, rollouts.logprob_BT, atol=1e-4)
    assert torch.allclose(scored.entropy_BT, rollouts.entropy_BT, atol=1e-4)
    reference = engine.reference_logprob(rollouts)
    assert torch.allclose(reference, rollouts.logprob_BT, atol=1e-4)
    assert torch.allclose(engine.logprob(rollouts, [1, 3]), reference[[2, 3, 6, 7]], atol=1e-5)


@pytest.mark.parametrize("left_out", [[], [1, 5, 6]])
@pytest.mark.parametrize("loss", [{}, {"aggregate": "seq-mean-token-mean", "entropy_coef": 0.1}])
def test_one_update_is_the_local_engines_update(
    engine, loss: dict, left_out: list[int], tmp_path: Path, problems
) -> None:
    rollouts = engine.rollout(problems, 4, SAMPLING, seed=1)
    rollouts = rollouts._replace(logprob_BT=rollouts.logprob_BT - 0.05 * rollouts.mask_BT)
    reference = rollouts.logprob_BT - 0.1
    other = local()
    counted = torch.tensor([i not in left_out for i in range(16)])
    told = replace(plan(**loss), counted_B=counted if left_out else None)
    stats = [one.update(rollouts, credit(rollouts), reference, told) for one in (engine, other)]
    assert stats[0].trained_tokens == int(rollouts.mask_BT[counted].sum())
    assert stats[0].updates == stats[1].updates == 2
    assert torch.allclose(torch.tensor(stats[0][:4]), torch.tensor(stats[1][:4]), atol=1e-4)
    after = engine.logprob(rollouts, range(4)), other.logprob(rollouts, range(4))
    moved = float((after[0] - rollouts.logprob_BT).abs().max())
    assert moved > 0.01
    assert torch.allclose(*after, atol=1e-4 * max(1.0, moved))  # by several nats, at this rate


@pytest.mark.parametrize("name", losses.names())
def test_every_loss_updates_as_on_the_local_engine(engine, name: str, problems) -> None:
    rollouts = engine.rollout(problems, 4, SAMPLING, seed=1)
    rollouts = rollouts._replace(logprob_BT=rollouts.logprob_BT - 0.05 * rollouts.mask_BT)
    open_gate = {"delta": 9.0} if "delta" in losses.options(name) else {}
    told = replace(plan(), loss=losses.make(name, aggregate="token-mean", **open_gate))
    reference = rollouts.logprob_BT - 0.1
    stats = [one.update(rollouts, credit(rollouts), reference, told) for one in (engine, local())]
    assert stats[0].grad_norm > 0
    assert torch.allclose(torch.tensor(stats[0][:4]), torch.tensor(stats[1][:4]), atol=1e-4)


@pytest.mark.parametrize("gradient", ["policy", "view", "both"])
def test_a_view_learns_as_on_the_local_engine(engine, gradient: Any, problems) -> None:
    rollouts = engine.rollout(problems, 4, SAMPLING, seed=2)
    blind = tuple(map(blinded, problems))
    anchor = engine.logprob(rollouts._replace(problems=blind), range(4))
    term = ViewTerm(
        metric="actor/text_kl",
        says="blind",
        change=without_pictures,
        coef=-0.5,
        estimator="k2",
        gradient=gradient,
    )
    told = replace(
        plan(),
        extras=Extras(views=(term,)),
        anchor_BTK=anchor[..., None],
        view_problems=(blind,) if term.live else (),
    )
    reference = rollouts.logprob_BT
    stats = [one.update(rollouts, credit(rollouts), reference, told) for one in (engine, local())]
    measured = [one.measured["actor/text_kl"] for one in stats]
    assert measured[0] == pytest.approx(measured[1], rel=1e-3)
    assert stats[0].grad_norm == pytest.approx(stats[1].grad_norm, rel=1e-3)


TRAINED = [
    *("grpo", "rloo", "reinforce_pp", "mvsr", "mssr", "cispo", "papo", "noisy_rollout", "remax"),
    *("outside_gspo", "outside_cispo", "outside_sapo", "outside_papo"),  # of examples/losses
]


@pytest.mark.parametrize("algo", TRAINED)
def test_every_algorithm_trains_and_credits_as_it_would_locally(
    engine, algo: str, tmp_path: Path, settings
) -> None:
    greedy = 2 if algo == "remax" else 1  # each of its steps samples as many greedy responses
    config = settings(
        f"algo={algo}",
        f"budget.rollouts={32 * greedy}",
        f"plugins=[{algo if algo.startswith('outside') else ''}]",
        "name=a",
        f"runs_dir={tmp_path}",
    )
    folder = trainer.run(config, lambda _: engine)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[1]["actor/kl_ref"] > 0  # the weights moved, and arrived
    assert all(row[SAMPLER_GAP_MAX] < 5e-4 for row in rows)
    assert json.loads((folder / "run.json").read_text())["status"] == "done"
    names = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "eval.jsonl", "samples.jsonl", "summary.json", "report.html"} <= names


@pytest.mark.parametrize("algo", algorithms.names())
def test_advantages_of_both_engines_agree(engine, algo: str, problems) -> None:
    from mssr_rl.advantage import Batch

    made = algorithms.make(algo)
    rollouts = engine.rollout(problems, 4, SAMPLING, seed=3)
    scored = locally(rollouts)
    found = [
        made.advantage.update(
            reward := torch.tensor([1.0, 0, 0, 1] * 4, dtype=torch.float64),
            Batch(
                reward_B=reward,
                problem_B=torch.arange(4).repeat_interleave(4),
                mask_BT=rollouts.mask_BT,
                logprob_BT=logprob,
                entropy_BT=entropy,
                logprob_ref_BT=logprob,
                kl_step=0.004,
                group_size=4,
                greedy_B=1 - reward,
            ),
            made.advantage.init(4),
        )
        for logprob, entropy in ((rollouts.logprob_BT, rollouts.entropy_BT), scored)
    ]
    assert torch.allclose(found[0].advantage, found[1].advantage, atol=1e-4)


def test_tokens_without_loss_have_no_part_in_an_update(engine, problems) -> None:
    norms = []
    for credited in (0.0, 50.0):
        engine.reset()
        rollouts = engine.rollout(problems, 4, SAMPLING, seed=3)
        learns_BT = torch.ones_like(rollouts.mask_BT)
        learns_BT[:, 1] = 0
        told = rollouts._replace(learns_BT=learns_BT)
        advantage_BT = credit(told)
        advantage_BT[:, 1] += credited
        stats = engine.update(told, advantage_BT, rollouts.logprob_BT, plan())
        norms.append(stats.grad_norm)
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)
    assert norms[0] > 0
    assert len(engine.pieces(rollouts.token_BT[0, :5].tolist())) == 5


def test_pictures_seen_before_are_seen_with_new_weights(engine, inside, problems, settings) -> None:
    (sampler,) = engine.samplers
    gaps = {}
    for reset in (True, False):
        engine.reset()
        if not reset:
            inside(sampler, _forget_to_reset)
        for seed in range(3):
            rollouts = engine.rollout(problems, 4, SAMPLING, seed)
            gaps[reset] = mismatch.metrics(rollouts)
            engine.update(rollouts, credit(rollouts), rollouts.logprob_BT, plan())
    inside(sampler, _remember_to_reset)
    assert gaps[True][SAMPLER_GAP_MAX] < 5e-4
    assert gaps[False][SAMPLER_GAP_MAX] > 10 * gaps[True][SAMPLER_GAP_MAX]
    (alarm,) = mismatch.alarms({"step": 3, **gaps[False]}, settings())
    assert "another policy" in alarm


def _forget_to_reset(worker) -> None:
    async def nothing() -> None:
        pass

    worker.llm.reset_encoder_cache = nothing


def _remember_to_reset(worker) -> None:
    del worker.llm.reset_encoder_cache


def test_what_was_saved_continues_the_same(engine, tmp_path: Path, problems) -> None:
    rollouts = engine.rollout(problems, 4, SAMPLING, seed=1)
    reference = rollouts.logprob_BT
    engine.update(rollouts, credit(rollouts), reference, plan())
    engine.save(tmp_path)
    engine.update(rollouts, credit(rollouts), reference, plan())
    once = engine.logprob(rollouts, range(4))
    engine.load(tmp_path)
    engine.update(rollouts, credit(rollouts), reference, plan())
    assert torch.equal(engine.logprob(rollouts, range(4)), once)


def test_a_saved_policy_is_an_ordinary_model_folder_with_its_processor(
    engine, tmp_path: Path, problems
) -> None:
    rollouts = engine.rollout(problems, 2, SAMPLING, seed=1)
    engine.update(rollouts, credit(rollouts), rollouts.logprob_BT, plan())
    engine.save(tmp_path)
    again = LocalEngine(LocalOptions(model=str(tmp_path / "policy")))
    found = again.logprob(rollouts, range(4))
    assert torch.allclose(found, engine.logprob(rollouts, range(4)), atol=1e-4)
    shipped = load_file(Path("mssr_rl/models/tiny/model.safetensors"))
    assert load_file(tmp_path / "policy" / "model.safetensors").keys() == shipped.keys()


def test_plug_ins_reach_every_process(engine, inside) -> None:
    actors = [*engine.samplers, *engine.policy._actor_handlers, *engine.reference._actor_handlers]
    assert all(inside(actor, _has_plugin) for actor in actors)


def _has_plugin(_) -> bool:
    return "from_outside" in sys.modules
