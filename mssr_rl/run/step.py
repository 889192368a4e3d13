"""One training step: pose, roll out, grade, credit, update; for every engine and algorithm.

The state goes in and comes out, every random number is derived from (seed, step), and the state
only advances when the step is complete: so an interrupted step leaves no trace, and whoever resumes
runs it again, bit for bit. `trainer` repeats it.

Shapes: P problems, G rollouts each, B = P * G, T response tokens.
"""

from collections.abc import Callable, Sequence
from math import isfinite
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mssr_rl.advantage import Batch, Step
from mssr_rl.budget import Ledger
from mssr_rl.engine.base import Rollouts, UpdateStats
from mssr_rl.finite import NonFinite, check_finite
from mssr_rl.loss import kl
from mssr_rl.metrics import length_metrics, policy_metrics, reward_metrics, rollout_metrics
from mssr_rl.run import problem_stream
from mssr_rl.run.arm import Arm
from mssr_rl.run.checkpoint import TrainState
from mssr_rl.run.clock import Clock
from mssr_rl.run.draft import BrokenStep, Draft
from mssr_rl.run.samples import Sample
from mssr_rl.run.scoring import graded
from mssr_rl.seeds import derive

TIMED = ("rollout", "reward", "logprob", "update", "sync")
Poll = Callable[[str], None]  # called before a phase, with its name; raises to end the run


class StepResult(NamedTuple):
    """A completed training step."""

    state: TrainState
    metrics: dict[str, float]
    samples: list[Sample]  # B


def first_state(arm: Arm) -> TrainState:
    """The state before step 1."""
    return TrainState(algorithm=arm.algorithm.advantage.init(len(arm.train.problems)))


def train_step(arm: Arm, state: TrainState, poll: Poll) -> StepResult:
    """One step of the method. Raises `BrokenStep` where a number is no number."""
    draft = Draft(state.step + 1, _pose(arm, state.position))
    try:
        return _train_step(arm, state, poll, draft)
    except NonFinite as error:
        raise BrokenStep(error, draft) from error


def _train_step(arm: Arm, state: TrainState, poll: Poll, draft: Draft) -> StepResult:
    step, rows, clock = draft.step, draft.rows, draft.clock
    poll("rollout")
    with clock.phase("rollout"):
        draft.rollouts = rollouts = _roll_out(arm, rows, step)
    poll("reward")
    with clock.phase("reward"):
        draft.samples = samples = graded(arm.train, rows, rollouts)
    poll("logprob")
    with clock.phase("logprob"):
        reference_BT = arm.engine.reference_logprob(rollouts)
    draft.batch = batch = make_batch(rows, rollouts, samples, reference_BT, state.kl_step)
    draft.credit = given = credit(arm, batch, state)
    poll("update")  # the last chance: from here on the policy changes, and the step runs to its end
    with clock.phase("update"):
        stats = _update(arm, rollouts, given.advantage, reference_BT, step)
    draft.updated = True
    check_finite(
        {"the loss": stats.pg_loss, "the KL": stats.kl_loss, "the gradient": stats.grad_norm}
    )
    with clock.phase("logprob"):
        kl_step = _kl_step(arm, rollouts, step)
    ledger = state.ledger + _spent(rollouts, stats, clock)
    measured = {
        "step": step,
        **rollout_metrics(batch, given.advantage, _reasons(samples), rollouts.truncated_B),
        **_update_metrics(arm, stats, kl_step),
        **given.metrics,
        **_cost_metrics(ledger, clock),
    }
    check_finite(measured)
    position = state.position + len(rows)
    new = TrainState(given.state, step, position, ledger, kl_step, state.scores)
    return StepResult(new, measured, samples)


def leave_out(state: TrainState, draft: Draft) -> StepResult:
    """The rest of a broken step left out: its rollouts are charged, the tracker does not move.

    The row of metrics.jsonl holds what could be measured; `fault/skipped` says why there is less.
    """
    rollouts, batch = draft.rollouts, draft.batch
    assert rollouts is not None
    assert batch is not None
    spent = _spent(rollouts, None, draft.clock)
    ledger = state.ledger + spent
    measured = {
        "step": draft.step,
        **reward_metrics(batch.reward_B, _reasons(draft.samples)),
        **policy_metrics(batch),
        **length_metrics(batch.mask_BT, rollouts.truncated_B),
        **_cost_metrics(ledger, draft.clock),
        "fault/skipped": 1.0,
    }
    finite = {name: value for name, value in measured.items() if isfinite(value)}
    position = state.position + len(draft.rows)
    new = TrainState(
        state.algorithm, draft.step, position, ledger, None, state.scores, state.skipped + 1
    )
    return StepResult(new, finite, draft.samples)


def _pose(arm: Arm, position: int) -> list[int]:
    """The P problems of a step, as rows of the training set."""
    size = len(arm.train.problems)
    return problem_stream.rows(arm.config.seed, size, position, arm.problems_per_step)


def _roll_out(arm: Arm, rows: Sequence[int], step: int) -> Rollouts:
    problems = [arm.train.problems[row] for row in rows]
    seed = derive(arm.config.seed, "rollout", step)
    return arm.engine.rollout(problems, arm.group_size, arm.sampling, seed)


def make_batch(
    rows: Sequence[int],
    rollouts: Rollouts,
    samples: Sequence[Sample],
    reference_BT: Tensor,
    kl_step: float | None,
) -> Batch:
    """What the advantage chain may read."""
    rewards = [sample.graded.reward for sample in samples]
    return Batch(
        reward_B=torch.tensor(rewards, dtype=torch.float64),
        problem_B=torch.tensor(rows).repeat_interleave(rollouts.group_size),
        mask_BT=rollouts.mask_BT,
        logprob_BT=rollouts.logprob_BT,
        entropy_BT=rollouts.entropy_BT,
        logprob_ref_BT=reference_BT,
        kl_step=kl_step,
        group_size=rollouts.group_size,
    )


def _reasons(samples: Sequence[Sample]) -> list[str]:
    return [sample.graded.verdict.reason for sample in samples]


def credit(arm: Arm, batch: Batch, state: TrainState) -> Step:
    """Every token's advantage, over the whole batch at once."""
    tensors = {
        "the reward": batch.reward_B,
        "the log-probability": batch.logprob_BT,
        "the entropy": batch.entropy_BT,
        "the reference's log-probability": batch.logprob_ref_BT,
    }
    check_finite({name: tensor for name, tensor in tensors.items() if tensor is not None})
    given = arm.algorithm.advantage.update(batch.reward_B, batch, state.algorithm)
    check_finite({"the advantage": given.advantage})
    return given


def _update(
    arm: Arm, rollouts: Rollouts, advantage_BT: Tensor, reference_BT: Tensor, step: int
) -> UpdateStats:
    """`train.epochs` passes over the batch; means over all their updates."""
    passes = [
        arm.engine.update(rollouts, advantage_BT, reference_BT, arm.update_plan(step, epoch))
        for epoch in range(arm.config.train.epochs)
    ]
    updates = sum(stats.updates for stats in passes)

    def mean(name: str) -> float:
        return sum(float(getattr(s, name)) * s.updates for s in passes) / updates

    return UpdateStats(
        pg_loss=mean("pg_loss"),
        kl_loss=mean("kl_loss"),
        clip_fraction=mean("clip_fraction"),
        grad_norm=mean("grad_norm"),
        updates=updates,
        trained_tokens=sum(s.trained_tokens for s in passes),
    )


def _kl_step(arm: Arm, rollouts: Rollouts, step: int) -> float:
    """KL(policy before the step || after it), k3 per token, mean over responses [nat].

    On some whole problems drawn with the seed; a response without tokens counts as 0.
    """
    rng = np.random.default_rng(derive(arm.config.seed, "kl_step", step))
    chosen = np.sort(rng.choice(len(rollouts.problems), arm.kl_problems, replace=False)).tolist()
    new_BT = arm.engine.logprob(rollouts, chosen)
    group = torch.arange(rollouts.group_size)
    row_B = (torch.tensor(chosen)[:, None] * rollouts.group_size + group).flatten()
    mask_BT = rollouts.mask_BT[row_B]
    k3_BT = kl(rollouts.logprob_BT[row_B], new_BT, "k3") * mask_BT
    return float((k3_BT.double().sum(1) / mask_BT.double().sum(1).clamp(min=1)).mean())


def _spent(rollouts: Rollouts, stats: UpdateStats | None, clock: Clock) -> Ledger:
    """What a step has cost; without `stats` nothing was learned from it."""
    return Ledger(
        rollouts=len(rollouts.responses),
        discarded_rollouts=0 if stats else len(rollouts.responses),
        prompts=len(rollouts.problems),
        updates=stats.updates if stats else 0,
        prompt_tokens=rollouts.prompt_tokens,
        image_tokens=rollouts.image_tokens,
        generated_tokens=int(rollouts.mask_BT.sum()),
        trained_tokens=stats.trained_tokens if stats else 0,
        seconds_by_phase=clock.seconds(),
    )


def _cost_metrics(ledger: Ledger, clock: Clock) -> dict[str, float]:
    return {
        **{f"budget/{name}": spent for name, spent in ledger.marks().items()},
        **{f"timing_s/{phase}": clock.seconds().get(phase, 0.0) for phase in TIMED},
        "timing_s/step": clock.elapsed(),
    }


def _update_metrics(arm: Arm, stats: UpdateStats, kl_step: float) -> dict[str, float]:
    return {
        "actor/pg_loss": stats.pg_loss,
        "actor/pg_clipfrac": stats.clip_fraction,
        "actor/grad_norm": stats.grad_norm,
        "actor/lr": arm.config.train.lr,
        "actor/kl_step": kl_step,
    }
