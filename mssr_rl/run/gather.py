"""Collects the rollouts of a step: choose problems, sample responses, grade them.

An algorithm that drops groups repeats this until the step is full. All generated rollouts are
charged to the budget, even if they are not trained on. Seeds are derived from (seed, step, batch),
so a resumed run draws the same rollouts.

Shapes: P problems of a step, N training problems, G rollouts each.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import isnan, nan
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mssr_rl.algos import Resampling
from mssr_rl.budget import Ledger
from mssr_rl.engine.regroup import joined, picked, rollouts_of, side_by_side
from mssr_rl.engine_protocol import Rollouts
from mssr_rl.envs.visits import posed_for_training
from mssr_rl.errors import UserError
from mssr_rl.problem import Problem
from mssr_rl.run import problem_stream
from mssr_rl.run.arm import TrainingSetup
from mssr_rl.run.checkpoint import TrainState
from mssr_rl.run.marking import graded, learns, noised
from mssr_rl.run.mishaps import EnvironmentFailed
from mssr_rl.run.samples import Sample, shown
from mssr_rl.run.stopwatch import Clock
from mssr_rl.seeds import derive

Poll = Callable[[str], None]  # called before a phase, with its name; raises to end the run


class Gathered(NamedTuple):
    """The rollouts that a step trains on, and their cost."""

    rows: list[int]  # P rows of the training set
    rollouts: Rollouts
    samples: list[Sample]  # B
    shown: list[Sample]  # `samples`, and those of problems without any reward
    position: int  # in the problem stream, after this step
    spent: Ledger  # without time
    batches: int  # number of generation batches
    decided: bool = False  # the algorithm kept no group: there is nothing to learn from these
    unscorable: int = 0  # generated rollouts that could not be scored
    # bool: the rollout has a reward; None: all have one. Every problem has at least one.
    counted_B: Tensor | None = None
    greedy_P: Tensor | None = None  # float64: rewards of greedy responses, if they are a baseline

    @property
    def counted(self) -> list[Sample]:
        """The samples with a reward."""
        return [sample for sample in self.samples if sample.scored]

    def only_counted(self, x: Tensor) -> Tensor:
        """Return the rows of `x` [B, ...] whose rollouts have a reward."""
        return x if self.counted_B is None else x[self.counted_B]

    def spread(self, x: Tensor) -> Tensor:
        """Return `x` with the shape [B, ...], with 0 in the rows of rollouts without a reward.

        The input has one row for each rollout with a reward, in the same order.
        """
        if self.counted_B is None:
            return x
        out = x.new_zeros((len(self.counted_B), *x.shape[1:]))
        out[self.counted_B] = x
        return out


class _Lot(NamedTuple):
    """The problems, rollouts and graded samples of a generation batch, or of some of its groups."""

    rows: list[int]
    rollouts: Rollouts
    samples: list[Sample]
    greedy: list[float]  # P rewards of greedy responses; 0 if the algorithm needs none
    spent: Ledger  # of the whole lot, before groups were dropped


def gather(arm: TrainingSetup, state: TrainState, clock: Clock, poll: Poll) -> Gathered:
    """Generate the rollouts of a step: in one batch, or in several if groups are dropped.

    Raises `EnvironmentFailed` if no response of the step got a reward.
    """
    wanted, resampling = arm.problems_per_step, arm.algorithm.resampling
    kept: list[_Lot] = []
    unscorable = 0
    spent, position, batches = Ledger(), state.position, 0
    for batch in range(_batches(arm, state)):
        poll("rollout")
        rows = _pose(arm, state, position, batch)
        lot = _generate(arm, rows, (state.step + 1, batch), clock, poll)
        position, spent, batches = position + len(rows), spent + lot.spent, batches + 1
        unscorable += sum(not sample.scored for sample in lot.samples)
        missing = wanted - sum(len(one.rows) for one in kept)
        good = range(len(rows)) if resampling is None else _worth_it(lot, resampling)
        # Groups beyond the step's number are dropped, and charged all the same.
        kept.append(_cut(lot, list(good)[:missing]))
        if len(good) >= missing:
            break
    decided = not any(one.rows for one in kept)
    if decided:
        kept = [lot]  # the step continues with the last batch, and learns nothing from it
    all_kept = _merged([one for one in kept if one.rows])
    trained = _with_a_reward(all_kept)
    counted_B = torch.tensor([sample.scored for sample in trained.samples])
    greedy_P = torch.tensor(trained.greedy, dtype=torch.float64)
    spent += Ledger(
        discarded_rollouts=spent.rollouts - int(counted_B.sum()), unscorable_rollouts=unscorable
    )
    return Gathered(
        trained.rows,
        trained.rollouts,
        trained.samples,
        all_kept.samples,
        position,
        spent,
        batches,
        decided,
        unscorable,
        None if counted_B.all() else counted_B,
        greedy_P if arm.algorithm.greedy_baseline else None,
    )


def _batches(arm: TrainingSetup, state: TrainState) -> int:
    """Return the largest number of generation batches that the step may use, at least 1.

    The algorithm's `max_batches` and the rest of the rollout budget limit it.
    """
    resampling = arm.algorithm.resampling
    if resampling is None:
        return 1
    left = arm.config.budget.rollouts - state.ledger.rollouts
    charged = arm.config.train.rollouts_per_step + arm.greedy_per_step
    return max(1, min(resampling.max_batches, left // charged))


def _pose(arm: TrainingSetup, state: TrainState, position: int, batch: int) -> list[int]:
    """Return the P problems of a generation batch, as rows of the training set.

    They are the next problems of the stream, or are drawn with the algorithm's weights.

    Raises `UserError` if more problems must be drawn than the training set has.
    """
    size, weigh = len(arm.train.problems), arm.algorithm.problem_weights
    if weigh is None:
        return problem_stream.rows(arm.config.seed, size, position, arm.problems_per_step)
    if arm.problems_per_step > size:
        raise UserError(
            f"{arm.config.algo.name} draws the {arm.problems_per_step} problems of a step without "
            f"replacement, but the training set has {size}; lower train.rollouts_per_step"
        )
    weight_N = weigh(state.algorithm).double().numpy()
    rng = np.random.default_rng(derive(arm.config.seed, "drawn", state.step + 1, batch))
    drawn = rng.choice(size, arm.problems_per_step, replace=False, p=weight_N / weight_N.sum())
    return [int(row) for row in drawn]


def _generate(
    arm: TrainingSetup, rows: list[int], when: tuple[int, int], clock: Clock, poll: Poll
) -> _Lot:
    step, batch = when
    unscorable = arm.config.fault.unscorable
    # The first batch has the seed that it has without resampling, so algorithms of both kinds
    # sample alike.
    names = (step, batch) if batch else (step,)
    visit = derive(arm.config.seed, "visit", *names)
    with clock.phase("rollout"):
        problems = posed_for_training(arm.train, rows, visit)
        seed = derive(arm.config.seed, "rollout", *names)
        rollouts = _with_loss_mask(arm, _sampled(arm, rows, problems, (step, seed)))
    greedy = _greedy(arm, problems, clock)
    poll("reward")
    with clock.phase("reward"):
        samples = noised(arm.train, graded(arm.train, rows, rollouts, unscorable), visit)
        rewards = _baselines(arm, rows, greedy, derive(visit, "greedy"))
    spent = generation_cost(rollouts) + greedy.spent
    return _Lot(rows, rollouts, _comparable(samples, rewards), rewards, spent)


def _sampled(
    arm: TrainingSetup, rows: list[int], problems: list[Problem], when: tuple[int, int]
) -> Rollouts:
    """Return the rollouts to train on; some may be sampled from changed pictures.

    Those are trained on with the true picture. So the policy's log-probabilities of their tokens
    are those with the true picture too. Their entropies are those at sampling time.
    """
    (step, seed), distortion = when, arm.algorithm.distortion
    if distortion is None:
        return arm.engine.rollout(problems, arm.group_size, arm.sampling, seed)
    done, count = step / arm.allowance.steps, distortion.rollouts(arm.group_size)
    seeds = (derive(arm.config.seed, "distorted", step, row) for row in rows)
    changed = [distortion.change(p, s, done) for p, s in zip(problems, seeds, strict=True)]
    plain = arm.engine.rollout(problems, arm.group_size - count, arm.sampling, seed)
    other = arm.engine.rollout(changed, count, arm.sampling, derive(seed, "distorted"))
    other = other._replace(problems=plain.problems)
    logprob_BT = arm.engine.logprob(other, range(len(rows)))
    other = other._replace(
        logprob_BT=logprob_BT,
        # The sampler saw another picture: a ratio to its probabilities would measure the picture,
        # not a difference between programs, which `mismatch` and `correction` are about.
        sampler_logprob_BT=None if other.sampler_logprob_BT is None else logprob_BT,
    )
    return side_by_side(plain, other)


def _with_loss_mask(arm: TrainingSetup, rollouts: Rollouts) -> Rollouts:
    """Return the rollouts with `learns_BT` where the environment says which tokens have no loss."""
    if arm.train.without_loss is None:
        return rollouts
    learns_BT = torch.zeros_like(rollouts.mask_BT)
    lengths = rollouts.mask_BT.sum(1).int().tolist()
    for row, length in enumerate(lengths):
        pieces = arm.engine.pieces(rollouts.token_BT[row, :length].tolist())
        problem = rollouts.problems[row // rollouts.group_size]
        learns_BT[row, :length] = torch.tensor(learns(arm.train, problem, pieces)).float()
    return rollouts._replace(learns_BT=learns_BT)


class _Greedy(NamedTuple):
    """Greedy responses to the problems of a lot, which are a baseline; None: not needed."""

    rollouts: Rollouts | None
    spent: Ledger


def _greedy(arm: TrainingSetup, problems: list[Problem], clock: Clock) -> _Greedy:
    if not arm.algorithm.greedy_baseline:
        return _Greedy(None, Ledger())
    sampling = replace(arm.sampling, temperature=0.0, top_p=1.0, scored=False)
    with clock.phase("rollout"):
        rollouts = arm.engine.rollout(problems, 1, sampling, 0)  # a seed has no effect
    # The problems are not new ones: they are charged as rollouts and tokens only.
    return _Greedy(rollouts, replace(generation_cost(rollouts), prompts=0))


def _baselines(arm: TrainingSetup, rows: list[int], greedy: _Greedy, visit: int) -> list[float]:
    if greedy.rollouts is None:
        return [0.0] * len(rows)
    marks = graded(arm.train, rows, greedy.rollouts, arm.config.fault.unscorable)
    return [sample.graded.reward for sample in noised(arm.train, marks, visit)]


def _comparable(samples: list[Sample], greedy: list[float]) -> list[Sample]:
    """Return the samples; without a baseline, those of a problem count as not scored.

    A greedy response that could not be scored (`fault.unscorable=leave_out`) is no baseline.
    """
    if not any(isnan(reward) for reward in greedy):
        return samples
    group = len(samples) // len(greedy)
    return [
        sample._replace(graded=sample.graded._replace(reward=nan))
        if isnan(greedy[place // group])
        else sample
        for place, sample in enumerate(samples)
    ]


def _with_a_reward(lot: _Lot) -> _Lot:
    """Return the lot without the problems that have no scored rollout.

    Raises `EnvironmentFailed` if no problem is left.
    """
    group = lot.rollouts.group_size
    places = [
        place
        for place in range(len(lot.rows))
        if any(sample.scored for sample in lot.samples[place * group : (place + 1) * group])
    ]
    if not places:
        raise EnvironmentFailed(
            f"the environment gave no reward for any of the {len(lot.samples)} responses of a step,"
            f" the first of them to problem {shown(lot.samples[0].problem.key)}: there is nothing "
            "to learn from; correct its reward, then resume=true"
        )
    return _cut(lot, places)


def _worth_it(lot: _Lot, resampling: Resampling) -> Sequence[int]:
    """Return the indices of the problems in the lot whose groups the algorithm keeps."""
    rewards = [sample.graded.reward for sample in lot.samples]
    reward_PG = torch.tensor(rewards, dtype=torch.float64).view(len(lot.rows), -1)
    if not reward_PG.isnan().any():
        kept: list[Any] = resampling.keeps(reward_PG).nonzero()[:, 0].tolist()
        return kept
    scored = [row_G[~row_G.isnan()] for row_G in reward_PG]  # these groups can be unequal
    return [
        place
        for place, row_G in enumerate(scored)
        if len(row_G) and bool(resampling.keeps(row_G[None]).all())
    ]


def _cut(lot: _Lot, places: list[int]) -> _Lot:
    if len(places) == len(lot.rows):
        return lot
    row_B = rollouts_of(torch.tensor(places, dtype=torch.int64), lot.rollouts.group_size)
    samples = [lot.samples[row] for row in row_B.tolist()]
    return lot._replace(
        rows=[lot.rows[place] for place in places],
        rollouts=picked(lot.rollouts, places),
        samples=samples,
        greedy=[lot.greedy[place] for place in places],
    )


def _merged(lots: Sequence[_Lot]) -> _Lot:
    return _Lot(
        [row for lot in lots for row in lot.rows],
        joined([lot.rollouts for lot in lots]),
        [sample for lot in lots for sample in lot.samples],
        [reward for lot in lots for reward in lot.greedy],
        sum((lot.spent for lot in lots), Ledger()),
    )


def generation_cost(rollouts: Rollouts) -> Ledger:
    """Return the ledger entry for these rollouts: counts and tokens, without seconds."""
    return Ledger(
        rollouts=len(rollouts.responses),
        prompts=len(rollouts.problems),
        prompt_tokens=rollouts.prompt_tokens,
        image_tokens=rollouts.image_tokens,
        generated_tokens=int(rollouts.mask_BT.sum()),
    )
