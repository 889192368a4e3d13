"""`replay`: repeats a broken step from the files that `broken_step` saved.

It uses the policy and the batch of the moment when NaN or infinity appeared. It searches every
saved tensor for such values. Then it computes the advantages and the update again. Nothing is
written.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mssr_rl import nearby
from mssr_rl.budget import Ledger
from mssr_rl.config import compose, recorded
from mssr_rl.controllers import initial_coefficients, steered
from mssr_rl.engine.regroup import picked, rollouts_of
from mssr_rl.envs.visits import noisy
from mssr_rl.errors import UserError
from mssr_rl.loss import PolicyLoss
from mssr_rl.run import broken_step, checkpoint
from mssr_rl.run.arm import MakeEngine, TrainingSetup, assemble
from mssr_rl.run.broken_step import KeptStep
from mssr_rl.run.gather import Gathered
from mssr_rl.run.marking import graded
from mssr_rl.run.samples import shown
from mssr_rl.run.step import credit, first_state, learnt_from, live_views, make_batch
from mssr_rl.stability.finite import NonFinite, check_finite

SHOWN = 3  # bad places that are listed per tensor


def replay_kept_step(run: Path, words: Mapping[str, str]) -> Iterator[str]:
    """Repeat the newest saved broken step of a run; yield the findings line by line."""
    from mssr_rl.engine import make_engine

    return replay(run, make_engine, words)


def replay(
    run: Path, make_engine: MakeEngine, words: Mapping[str, str] = recorded.NO_WORDS
) -> Iterator[str]:
    """Repeat the newest saved broken step of a run with the caller's engine; yield the findings.

    Raises `UserError` if the run saved no broken step.
    """
    folder = next(iter(checkpoint.newest_first(run / "faults")), None)
    if folder is None and not run.is_dir():
        raise nearby.no_run(run, "does not exist")
    if folder is None:
        raise UserError(f"{run} keeps no step that broke: there is no {run / 'faults'}/step_<n>")
    arm = assemble(compose.read_foreign(run / "config.yaml", words), make_engine)
    kept = broken_step.read_kept_step(folder, arm.train.problems)
    yield f"step {kept.step} of {run}, in which {kept.bad_tensor} was not finite"
    for name, tensor in kept.tensors.items():
        yield from _look_through(kept, name, tensor)
    arm.engine.load(folder)
    if noisy(arm.train):
        yield "not repeated  the noise on pictures and rewards (env.picture_noise, env.reward)"
    yield _again(arm, kept)


def _look_through(kept: KeptStep, name: str, tensor: Tensor) -> Iterator[str]:
    """Yield a line about the tensor, and one for each of its first values that are not finite."""
    bad = (~torch.isfinite(tensor)).nonzero().tolist()
    yield f"{name:<13} {list(tensor.shape)}: {len(bad) or 'none'} not finite"
    for place in bad[:SHOWN]:
        rollout, *token = place
        key = kept.rollouts.problems[rollout // kept.rollouts.group_size].key
        where = f"rollout {rollout}" + (f", token {token[0]}" if token else "")
        yield f"  {where}, of problem {key}: {shown(kept.rollouts.responses[rollout])}"


def _again(arm: TrainingSetup, kept: KeptStep) -> str:
    """Grade the rollouts, compute advantages and update again; return the result as a sentence."""
    state = checkpoint.read_checkpoint(kept.folder, first_state(arm).algorithm).state
    samples = graded(arm.train, kept.rows, kept.rollouts, arm.config.fault.unscorable)
    counted_B = torch.tensor([sample.scored for sample in samples])
    gathered = Gathered(
        kept.rows,
        kept.rollouts,
        samples,
        samples,
        state.position,
        Ledger(),
        1,
        counted_B=None if counted_B.all() else counted_B,
        greedy_P=kept.tensors.get("greedy_P"),
    )
    batch = make_batch(arm, gathered, kept.tensors["reference_BT"], state.kl_step)
    try:
        advantage_BT = gathered.spread(credit(arm, batch, state).advantage)
        before = state.coefficients or initial_coefficients(arm.loss)
        loss = steered(arm.loss, before, batch).loss
        _update(arm, kept, advantage_BT, gathered.counted_B, loss)
    except NonFinite as error:
        return f"again: {error}"
    return "this time every number is finite: batch and policy alone do not explain it"


def _update(
    arm: TrainingSetup,
    kept: KeptStep,
    advantage_BT: Tensor,
    counted_B: Tensor | None,
    loss: PolicyLoss,
) -> None:
    """Repeat the broken update; if no update broke, make one update with all rows of the step."""
    rows = range(len(kept.rows)) if kept.update_rows is None else kept.update_rows
    rollouts = picked(kept.rollouts, rows)
    row_B = rollouts_of(torch.tensor(rows), rollouts.group_size)
    anchor_BTK = kept.tensors.get("anchor_BTK")
    learnt_B = learnt_from(arm, kept.rollouts, counted_B)
    shown = live_views(arm, kept.step, kept.rows, kept.rollouts.problems)
    plan = replace(
        arm.update_plan(kept.step, epoch=0),
        loss=loss,
        anchor_BTK=None if anchor_BTK is None else anchor_BTK[row_B],
        view_problems=tuple(tuple(view[row] for row in rows) for view in shown),
        counted_B=None if learnt_B is None else learnt_B[row_B],
    )
    reference_BT = kept.tensors["reference_BT"]
    stats = arm.engine.update(rollouts, advantage_BT[row_B], reference_BT[row_B], plan)
    check_finite({"the loss": stats.pg_loss, "the gradient": stats.grad_norm})
