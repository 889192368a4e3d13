"""One training step for every engine and algorithm: sample, grade, compute advantages, update.

The step takes a state and returns a new one. All random numbers are derived from (seed, step). The
state changes only when the step is complete. So an interrupted step leaves no trace, and a resumed
run repeats it bit for bit. `trainer` calls it in a loop.

Shapes: P problems, G rollouts each, B = P * G, T response tokens.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mssr_rl.advantage import Batch, Step
from mssr_rl.budget import Ledger
from mssr_rl.controllers import initial_coefficients, steered
from mssr_rl.engine.regroup import rollouts_of
from mssr_rl.engine_protocol import Rollouts, UpdateStats
from mssr_rl.errors import RunFailed
from mssr_rl.loss import PolicyLoss, kl
from mssr_rl.metric_names import (
    CLIPPED_SHARE,
    DROPPED_SHARE,
    GRAD_NORM,
    KL_STEP,
    LEARNING_RATE,
    PG_LOSS,
    PHASES,
    SAMPLED_BATCHES,
    SKIPPED,
    STEP_SECONDS,
    UNSCORABLE_SHARE,
    budget_name,
    timing_name,
)
from mssr_rl.metrics import length_metrics, policy_metrics, reward_metrics, rollout_metrics
from mssr_rl.problem import Problem
from mssr_rl.run import mismatch, samples
from mssr_rl.run.arm import TrainingSetup
from mssr_rl.run.checkpoint import TrainState
from mssr_rl.run.draft import BrokenStep, StepDraft
from mssr_rl.run.gather import Gathered, Poll, gather
from mssr_rl.run.recording import RecordedStep
from mssr_rl.run.samples import Push, Sample
from mssr_rl.run.stopwatch import Clock
from mssr_rl.seeds import derive
from mssr_rl.stability.finite import NonFinite, check_finite


class StepResult(NamedTuple):
    """A completed training step."""

    state: TrainState
    metrics: dict[str, float]
    samples: list[Sample]  # B
    recorded: RecordedStep | None  # the inputs of the advantages; None for a skipped step
    pushes: Sequence[Push | None] = ()  # of `samples`; None: not trained on. Skipped step: none


def first_state(arm: TrainingSetup) -> TrainState:
    """Return the state before step 1."""
    return TrainState(algorithm=arm.algorithm.advantage.init(len(arm.train.problems)))


def train_step(arm: TrainingSetup, state: TrainState, poll: Poll) -> StepResult:
    """Make one training step. `poll` is called before each phase, and may raise to end the run.

    Raises `BrokenStep` if NaN or infinity appears.
    """
    draft = StepDraft(state.step + 1)
    try:
        return _train_step(arm, state, poll, draft)
    except NonFinite as error:
        draft.updates += error.updates
        raise BrokenStep(error, draft) from error


def _train_step(arm: TrainingSetup, state: TrainState, poll: Poll, draft: StepDraft) -> StepResult:
    step, clock = draft.step, draft.clock
    draft.found = gathered = gather(arm, state, clock, poll)
    rollouts = gathered.rollouts
    poll("logprob")
    with clock.phase("logprob"):
        draft.reference_BT = reference_BT = arm.engine.reference_logprob(rollouts)
        # The anchors are scores of the policy that sampled, so they are taken before the update
        # changes it.
        draft.anchor_BTK = anchor_BTK = _anchors(arm, gathered, step)
    # The KL is that of the step before: this step's can be measured only after its update.
    draft.batch = batch = make_batch(arm, gathered, reference_BT, state.kl_step)
    credited = credit(arm, batch, state)
    if gathered.decided:
        credited = credited._replace(advantage=torch.zeros_like(credited.advantage))
    draft.advantage_BT = advantage_BT = gathered.spread(credited.advantage)
    steering = steered(arm.loss, state.coefficients or initial_coefficients(arm.loss), batch)
    # The last point at which the step can be interrupted: from here on the policy changes.
    poll("update")
    with clock.phase("update"):
        signal = _Signal(advantage_BT, reference_BT, anchor_BTK, steering.loss)
        stats = _update(arm, gathered, signal, draft)
    draft.updated = True
    check_finite(
        {"the loss": stats.pg_loss, "the KL": stats.kl_loss, "the gradient": stats.grad_norm}
    )
    with clock.phase("logprob"):
        kl_step = _kl_step(arm, gathered, step)
    ledger = state.ledger + gathered.spent + _spent(stats, clock)
    measured = {
        "step": step,
        **_batch_metrics(arm, gathered, batch, credited.advantage),
        **_update_metrics(arm, stats, kl_step),
        **credited.metrics,
        **steering.metrics,
        **_gather_metrics(arm, gathered),
        **_cost_metrics(ledger, clock),
    }
    check_finite(measured)
    # Only here does the algorithm's new state count: a step that broke before leaves the old one.
    new = TrainState(
        algorithm=credited.state,
        step=step,
        position=gathered.position,
        ledger=ledger,
        kl_step=kl_step,
        scores=state.scores,
        coefficients=steering.after,
    )
    recorded = _recorded(arm, gathered, batch)
    return StepResult(new, measured, gathered.shown, recorded, _pushes(gathered, advantage_BT))


def _batch_metrics(
    arm: TrainingSetup, gathered: Gathered, batch: Batch, advantage: Tensor
) -> dict[str, float]:
    truncated_B = gathered.only_counted(gathered.rollouts.truncated_B)
    return {
        **rollout_metrics(batch, advantage, _reasons(gathered.counted), truncated_B),
        **_unscorable_metrics(arm, gathered),
        **mismatch.metrics(gathered.rollouts),
    }


def _recorded(arm: TrainingSetup, gathered: Gathered, batch: Batch) -> RecordedStep:
    rollouts = gathered.rollouts
    return RecordedStep(
        batch,
        gathered.only_counted(rollouts.token_BT),
        gathered.only_counted(rollouts.mask_BT),
        gathered.counted,
        len(arm.train.problems),
    )


def _pushes(gathered: Gathered, advantage_BT: Tensor) -> list[Push | None]:
    """Return the push of every shown sample; None for those that are not trained on."""
    pushes = samples.pushes(advantage_BT, gathered.rollouts.mask_BT)
    of_sample = dict(zip(map(id, gathered.samples), pushes, strict=True))
    return [of_sample.get(id(sample)) for sample in gathered.shown]


def leave_out(state: TrainState, draft: StepDraft) -> StepResult:
    """Return the result of a broken step that is skipped.

    The rollouts are charged, and the algorithm's state stays unchanged. The row of metrics.jsonl
    holds the metrics that could be measured, and `fault/skipped` = 1.
    """
    gathered, batch = draft.found, draft.batch
    assert gathered is not None
    assert batch is not None
    lost = Ledger(
        discarded_rollouts=len(gathered.counted),
        updates=draft.updates,
        seconds_by_phase=draft.clock.seconds(),
    )
    ledger = state.ledger + gathered.spent + lost
    measured = {
        "step": draft.step,
        **reward_metrics(batch.reward_B, _reasons(gathered.counted)),
        **policy_metrics(batch),
        **length_metrics(batch.mask_BT, gathered.only_counted(gathered.rollouts.truncated_B)),
        **_cost_metrics(ledger, draft.clock),
        SKIPPED: 1.0,
    }
    finite = {name: value for name, value in measured.items() if isfinite(value)}
    skipped = state.skipped + 1
    new = state._replace(
        step=draft.step, position=gathered.position, ledger=ledger, kl_step=None, skipped=skipped
    )
    return StepResult(new, finite, gathered.shown, None)


def _anchors(arm: TrainingSetup, gathered: Gathered, step: int) -> Tensor | None:
    """Return the rollout policy's log-probabilities under the algorithm's views [nat].

    A view is a changed problem, for example without its picture. The shape is [B, T, K] for K
    views. The entries of live views are 0. Returns None if the algorithm has no views.
    """
    rollouts, anchors = gathered.rollouts, []
    for term in arm.algorithm.extras.views:
        if term.live:
            anchors.append(torch.zeros_like(rollouts.logprob_BT))
            continue
        shown = arm.seen(term, step, gathered.rows, rollouts.problems)
        seen = rollouts._replace(problems=shown)
        anchors.append(arm.engine.logprob(seen, range(len(gathered.rows))))
    return torch.stack(anchors, -1) if anchors else None


def live_views(
    arm: TrainingSetup, step: int, rows: Sequence[int], posed: Sequence[Problem]
) -> tuple[tuple[Problem, ...], ...]:
    """Return, for each live view, the step's problems as this view changes them.

    `posed` are the problems of the training rows `rows`, as they were shown to the policy.
    """
    terms = (term for term in arm.algorithm.extras.views if term.live)
    return tuple(arm.seen(term, step, rows, posed) for term in terms)


def make_batch(
    arm: TrainingSetup, gathered: Gathered, reference_BT: Tensor, kl_step: float | None
) -> Batch:
    """Return the input of the advantage chain, without rollouts that could not be scored."""
    rewards, rollouts = [sample.graded.reward for sample in gathered.counted], gathered.rollouts
    group = torch.arange(len(gathered.rows)).repeat_interleave(rollouts.group_size)
    return Batch(
        reward_B=torch.tensor(rewards, dtype=torch.float64),
        problem_B=torch.tensor(gathered.rows)[gathered.only_counted(group)],
        mask_BT=gathered.only_counted(rollouts.loss_mask_BT),
        logprob_BT=gathered.only_counted(rollouts.logprob_BT),
        entropy_BT=gathered.only_counted(rollouts.entropy_BT),
        logprob_ref_BT=gathered.only_counted(reference_BT),
        kl_step=kl_step,
        group_size=rollouts.group_size if gathered.counted_B is None else 0,
        group_B=None if gathered.counted_B is None else gathered.only_counted(group),
        truncated_B=gathered.only_counted(rollouts.truncated_B),
        response_limit=arm.config.rollout.max_response_tokens,
        greedy_B=None
        if gathered.greedy_P is None
        else gathered.greedy_P[gathered.only_counted(group)],
    )


def _reasons(samples: Sequence[Sample]) -> list[str]:
    return [sample.graded.verdict.reason for sample in samples]


def credit(arm: TrainingSetup, batch: Batch, state: TrainState) -> Step:
    """Compute the advantage of every token, over the whole batch.

    Raises `NonFinite` for NaN or infinity, and `RunFailed` if the algorithm cannot handle groups
    that lost a rollout to `fault.unscorable=leave_out`.
    """
    tensors = {
        "the reward": batch.reward_B,
        "the log-probability": batch.logprob_BT,
        "the entropy": batch.entropy_BT,
        "the reference's log-probability": batch.logprob_ref_BT,
    }
    check_finite({name: tensor for name, tensor in tensors.items() if tensor is not None})
    try:
        step = arm.algorithm.advantage.update(batch.reward_B, batch, state.algorithm)
    except (RuntimeError, ValueError, LookupError, ArithmeticError) as error:
        if batch.group_B is None:
            raise
        raise RunFailed(
            f"{arm.config.algo.name} cannot take groups that have lost a rollout to "
            f"fault.unscorable=leave_out ({type(error).__name__}: {error}); a step of its own that "
            "needs whole groups must go by Batch.group_B"
        ) from error
    check_finite({"the advantage": step.advantage})
    return step


def learnt_from(arm: TrainingSetup, rollouts: Rollouts, counted_B: Tensor | None) -> Tensor | None:
    """Return a bool mask [B] of the rollouts that are part of the loss; None if all are."""
    if arm.algorithm.loss.truncated == "keep" or not rollouts.truncated_B.any():
        return counted_B
    whole_B = ~rollouts.truncated_B
    return whole_B if counted_B is None else whole_B & counted_B


class _Signal(NamedTuple):
    """What an update learns from: advantages, log-probabilities of reference and views, a loss."""

    advantage_BT: Tensor
    reference_BT: Tensor
    anchor_BTK: Tensor | None
    loss: PolicyLoss


def _update(
    arm: TrainingSetup, gathered: Gathered, signal: _Signal, draft: StepDraft
) -> UpdateStats:
    """Make `train.epochs` passes over the batch; return means over all their updates."""
    passes: list[UpdateStats] = []
    for epoch in range(arm.config.train.epochs):
        plan = replace(
            arm.update_plan(draft.step, epoch),
            loss=signal.loss,
            anchor_BTK=signal.anchor_BTK,
            view_problems=live_views(arm, draft.step, gathered.rows, gathered.rollouts.problems),
            counted_B=learnt_from(arm, gathered.rollouts, gathered.counted_B),
        )
        given = (signal.advantage_BT, signal.reference_BT)
        passes.append(arm.engine.update(gathered.rollouts, *given, plan))
        draft.updates += passes[-1].updates
    updates = draft.updates

    def mean(name: str) -> float:
        return sum(float(getattr(s, name)) * s.updates for s in passes) / updates

    return UpdateStats(
        pg_loss=mean("pg_loss"),
        kl_loss=mean("kl_loss"),
        clip_fraction=mean("clip_fraction"),
        grad_norm=mean("grad_norm"),
        updates=updates,
        trained_tokens=sum(s.trained_tokens for s in passes),
        measured={
            key: sum(s.measured[key] * s.updates for s in passes) / updates
            for key in passes[0].measured
        },
    )


def _kl_step(arm: TrainingSetup, gathered: Gathered, step: int) -> float:
    """Return KL(policy before the step || after it): k3 per token, mean over responses [nat].

    It is measured on a few whole problems, drawn with the seed. A response without tokens counts
    as 0.
    """
    rollouts = gathered.rollouts
    rng = np.random.default_rng(derive(arm.config.seed, "kl_step", step))
    size = len(rollouts.problems)
    chosen = np.sort(rng.choice(size, min(arm.kl_problems, size), replace=False)).tolist()
    new_BT = arm.engine.logprob(rollouts, chosen)
    row_B = rollouts_of(torch.tensor(chosen), rollouts.group_size)
    mask_BT = rollouts.loss_mask_BT[row_B]
    k3_BT = kl(rollouts.logprob_BT[row_B], new_BT, "k3") * mask_BT
    mean_B = k3_BT.double().sum(1) / mask_BT.double().sum(1).clamp(min=1)
    return float(
        (mean_B if gathered.counted_B is None else mean_B[gathered.counted_B[row_B]]).mean()
    )


def _spent(stats: UpdateStats, clock: Clock) -> Ledger:
    """Return the ledger entry for the updates and the wall time of a step, without rollouts."""
    return Ledger(
        updates=stats.updates,
        trained_tokens=stats.trained_tokens,
        seconds_by_phase=clock.seconds(),
    )


def _cost_metrics(ledger: Ledger, clock: Clock) -> dict[str, float]:
    return {
        **{budget_name(name): spent for name, spent in ledger.marks().items()},
        **{timing_name(phase): clock.seconds().get(phase, 0.0) for phase in PHASES},
        STEP_SECONDS: clock.elapsed(),
    }


def _gather_metrics(arm: TrainingSetup, gathered: Gathered) -> dict[str, float]:
    """Return the number of generation batches and the share of dropped rollouts.

    Returns {} for algorithms that drop no groups.
    """
    if arm.algorithm.resampling is None:
        return {}
    dropped = gathered.spent.discarded_rollouts / gathered.spent.rollouts
    return {SAMPLED_BATCHES: gathered.batches, DROPPED_SHARE: dropped}


def _unscorable_metrics(arm: TrainingSetup, gathered: Gathered) -> dict[str, float]:
    """Return the share of rollouts without a reward; {} if the config stops at the first one."""
    if arm.config.fault.unscorable == "stop":
        return {}
    return {UNSCORABLE_SHARE: gathered.unscorable / gathered.spent.rollouts}


def _update_metrics(arm: TrainingSetup, stats: UpdateStats, kl_step: float) -> dict[str, float]:
    return {
        PG_LOSS: stats.pg_loss,
        CLIPPED_SHARE: stats.clip_fraction,
        GRAD_NORM: stats.grad_norm,
        LEARNING_RATE: arm.config.train.lr,
        KL_STEP: kl_step,
        **stats.measured,
    }
