"""More than one rank, and processes that die: engines of their own, on the tests' one Ray."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file

from mssr_rl.engine import make_engine
from mssr_rl.engine.local import LocalEngine, LocalOptions
from mssr_rl.engine_protocol import Sampling, UpdatePlan
from mssr_rl.loss import Loss
from mssr_rl.models import model_folder
from mssr_rl.run import checkpoint, trainer

pytestmark = pytest.mark.cluster
TINY = Path(model_folder("tiny"))
SHM = Path("/dev/shm")
TWO = ("cluster.gpus_per_node=2", "cluster.rollout_engines=2")


def test_two_nodes_did_what_one_rank_does(
    two_nodes: Path, run_words, shared, settings, tmp_path: Path
) -> None:
    words = (*run_words, f"runs_dir={tmp_path}", "name=one")
    one = trainer.run(settings(*words), lambda _: shared.reset())
    ours, theirs = ([json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
                    for run in (one, two_nodes))  # fmt: skip
    asked = ("reward/", "critic/", "actor/", "tracker/", "response_length/")
    for a, b in zip(ours, theirs, strict=True):
        keys = [key for key in a if key.startswith(asked)]
        assert {key: b[key] for key in keys} == pytest.approx({k: a[k] for k in keys}, abs=2e-4)
    first, second = (
        load_file(checkpoint.newest_first(run / "checkpoints")[0] / "algorithm.safetensors")
        for run in (one, two_nodes)
    )
    assert first.keys() == second.keys() != set()  # the tracker's state
    assert all(torch.allclose(first[name], second[name], atol=1e-4) for name in first)


def test_two_ranks_under_zero_3_and_two_samplers_do_what_one_does(
    shared, settings, problems, tmp_path: Path
) -> None:
    one = shared.reset()
    rollouts = one.rollout(problems, 4, Sampling(max_response_tokens=40), seed=1)
    rows = len(rollouts.responses)
    credit = torch.linspace(-1, 1, rows)[:, None] * rollouts.mask_BT
    plan = UpdatePlan(loss=Loss(), samples_per_update=8, seed=5)
    two = make_engine(settings(*TWO, "cluster.zero_stage=3"))
    try:
        again = two.rollout(problems, 4, Sampling(max_response_tokens=40), seed=1)
        assert again.responses == rollouts.responses
        assert torch.allclose(again.entropy_BT, rollouts.entropy_BT, atol=1e-4)
        stats = [e.update(rollouts, credit, rollouts.logprob_BT, plan) for e in (one, two)]
        assert torch.allclose(torch.tensor(stats[0][:4]), torch.tensor(stats[1][:4]), atol=1e-4)
        after = one.logprob(rollouts, range(4))
        near = 1e-4 * max(1.0, float((after - rollouts.logprob_BT).abs().max()))
        assert torch.allclose(two.logprob(rollouts, range(4)), after, atol=near)
        sampled = two.rollout(problems, 4, Sampling(max_response_tokens=40), seed=2)
        gap = (sampled.logprob_BT - sampled.sampler_logprob_BT).abs().max()
        assert gap < 5e-4  # both samplers have the new weights
        saved = two.logprob(rollouts, range(4))
        two.save(tmp_path)
        two.update(rollouts, credit, rollouts.logprob_BT, plan)
        two.load(tmp_path)
        assert torch.allclose(two.logprob(rollouts, range(4)), saved, atol=1e-4)
    finally:
        two.close()


def test_lora_trains_small_matrices_and_gives_whole_weights(
    ray_session, settings, problems, tmp_path: Path
) -> None:
    engine = make_engine(settings("cluster.lora_rank=4", "cluster.freeze_vision=true"))
    try:
        sampling = Sampling(max_response_tokens=40)
        rollouts = engine.rollout(problems, 4, sampling, seed=1)
        rows = len(rollouts.responses)
        credit = torch.linspace(-1, 1, rows)[:, None] * rollouts.mask_BT
        plan = UpdatePlan(loss=Loss(), samples_per_update=8, seed=5)
        for _ in range(3):
            engine.update(rollouts, credit, rollouts.logprob_BT, plan)
        after = engine.logprob(rollouts, range(4))
        assert (after - rollouts.logprob_BT).abs().max() > 0.01  # they learn
        sampled = engine.rollout(problems, 4, sampling, seed=2)
        assert (sampled.logprob_BT - sampled.sampler_logprob_BT).abs().max() < 5e-4  # and arrive
        engine.save(tmp_path)
        local = LocalEngine(LocalOptions(model=str(tmp_path / "policy")))
        assert torch.allclose(local.logprob(rollouts, range(4)), after, atol=1e-4)
        first, now = (
            load_file(folder / "model.safetensors") for folder in (TINY, tmp_path / "policy")
        )
        moved = {name for name in first if not torch.equal(first[name], now[name])}
        assert first.keys() == now.keys()
        assert moved
        assert all("visual" not in name and "_proj" in name for name in moved)
        engine.update(rollouts, credit, rollouts.logprob_BT, plan)
        engine.load(tmp_path)
        assert torch.allclose(engine.logprob(rollouts, range(4)), after, atol=1e-4)
    finally:
        engine.close()


class Struck:
    """An engine one of whose processes is killed before a certain rollout."""

    def __init__(self, engine: Any, strike: Callable[[Any], None] | None) -> None:
        self.engine, self.strike, self.calls = engine, strike, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def rollout(self, *rest: Any) -> Any:
        self.calls += 1
        if self.calls == 5 and self.strike:  # 2 were for evaluation, 2 for steps
            self.strike(self.engine)
        return self.engine.rollout(*rest)


def killer(
    inside, whose: Callable[[Any], Any], family: list[psutil.Process]
) -> Callable[[Any], None]:
    def kill(engine: Any) -> None:
        victim = psutil.Process(inside(whose(engine), _pid))
        family.extend(victim.children(recursive=True))
        victim.kill()

    return kill


def _pid(_: object) -> int:
    return os.getpid()


VICTIMS = {
    "vLLM engine 0": lambda engine: engine.samplers[0],
    "training rank 0": lambda engine: engine.policy._actor_handlers[0],
}


def test_a_run_survives_its_processes_being_killed(
    shared, settings, inside, tmp_path, capsys
) -> None:
    words = ("algo=mssr", "budget.rollouts=80", f"runs_dir={tmp_path}")
    calm = trainer.run(settings(*words, "name=calm"), lambda _: shared.reset())
    family: list[psutil.Process] = []
    before = set(SHM.iterdir())  # the shared engine's own are taken away with it
    first = [shared.reset().give_up()]  # the others start anew
    waiting = [*(killer(inside, whose, family) for whose in VICTIMS.values()), None]

    def engine(config) -> Struck:
        made = first.pop() if first else make_engine(config)
        return Struck(made, waiting.pop(0))

    def ledger(folder: Path) -> list[dict[str, float]]:
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in r.items() if k.startswith("budget/")} for r in rows]

    struck = trainer.run(settings(*words, "name=struck"), engine)
    assert waiting == []
    said = capsys.readouterr().err
    for restart, victim in enumerate(VICTIMS, 1):
        died = rf"{victim} died[:( ].*log.*; restart {restart} of 2"
        assert re.search(died, said), said
    assert family  # vLLM's engine core and its worker
    _, left = psutil.wait_procs(family, timeout=60)
    assert left == []
    assert {
        path.name for path in set(SHM.iterdir()) - before if path.name.startswith("psm_")
    } == set()
    counts = ("budget/rollouts", "budget/prompts", "budget/updates")
    assert [[row[c] for c in counts] for row in ledger(struck)] == [
        [row[c] for c in counts] for row in ledger(calm)
    ]
