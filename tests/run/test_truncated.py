"""Responses that met the length limit: told to advantages, and left out of the loss if asked."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from mssr_rl.advantage import Batch, chain, stateless, to_tokens
from mssr_rl.config import Config
from mssr_rl.engine_protocol import Engine
from mssr_rl.run import step
from mssr_rl.run.arm import TrainingSetup, assemble

Configure = Callable[..., Config]
MakeEngine = Callable[[Config], Engine]
SIZES = ("train.rollouts_per_step=16", "train.samples_per_update=16", "budget.rollouts=32")


class CuttingOff:
    """An engine some of whose responses met the limit, and that keeps its last plan."""

    def __init__(self, engine: Engine, cut_off: slice) -> None:
        self.engine, self.cut_off = engine, cut_off

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def rollout(self, *words: Any) -> Any:
        rollouts = self.engine.rollout(*words)
        truncated_B = torch.zeros_like(rollouts.truncated_B)
        truncated_B[self.cut_off] = True
        return rollouts._replace(truncated_B=truncated_B)

    def update(self, *words: Any) -> Any:
        self.rollouts, self.plan = words[0], words[3]
        return self.engine.update(*words)


def trained(
    configure: Configure, make_engine: MakeEngine, cut_off: slice, *words: str
) -> tuple[TrainingSetup, dict[str, float]]:
    arm = assemble(configure("algo=grpo", "rollout.group_size=8", *SIZES, *words), make_engine)
    arm = arm._replace(engine=CuttingOff(arm.engine, cut_off))  # type: ignore[arg-type]
    return arm, step.train_step(arm, step.first_state(arm), lambda _: None).metrics


def test_they_are_like_all_others_unless_asked(
    configure: Configure, make_engine: MakeEngine
) -> None:
    arm, found = trained(configure, make_engine, slice(0, 5))
    assert arm.engine.plan.counted_B is None  # type: ignore[attr-defined]
    assert found["response_length/clip_ratio"] == 5 / 16


def test_left_out_they_weigh_nothing_and_are_not_trained_on(
    configure: Configure, make_engine: MakeEngine
) -> None:
    leave_out = "algo.truncated=leave_out"
    arm, found = trained(configure, make_engine, slice(0, 5), leave_out)
    engine: Any = arm.engine
    assert engine.plan.counted_B.tolist() == [False] * 5 + [True] * 11
    assert found["budget/trained_tokens"] == int(engine.rollouts.mask_BT[5:].sum())
    _, whole = trained(configure, make_engine, slice(0, 0), leave_out)
    assert found["critic/advantages/std"] == whole["critic/advantages/std"]  # baselines count them


def test_a_step_whose_responses_were_all_cut_off_learns_nothing(
    configure: Configure, make_engine: MakeEngine
) -> None:
    _, found = trained(configure, make_engine, slice(0, 16), "algo.truncated=leave_out")
    assert found["actor/grad_norm"] == 0
    assert found["actor/pg_loss"] == 0
    assert found["budget/trained_tokens"] == 0


def test_an_advantage_may_look_at_them(configure: Configure, make_engine: MakeEngine) -> None:
    seen: list[Tensor | None] = []

    def f(a_B: Tensor, batch: Batch) -> Tensor:
        seen.append(batch.truncated_B)
        return a_B

    arm = assemble(configure("algo=batch_mean", *SIZES), make_engine)
    looking = chain(stateless("looks", "rollout", "rollout", f), to_tokens())
    algorithm = replace(arm.algorithm, advantage=looking)
    engine: Any = CuttingOff(arm.engine, slice(3, 4))
    arm = arm._replace(engine=engine, algorithm=algorithm)
    step.train_step(arm, step.first_state(arm), lambda _: None)
    assert seen[0] is not None
    assert seen[0].nonzero().flatten().tolist() == [3]


@pytest.mark.parametrize("word", ["drop", "true"])
def test_another_word_is_refused(configure: Configure, word: str) -> None:
    with pytest.raises(Exception, match="truncated"):
        configure("algo=grpo", f"algo.truncated={word}")
