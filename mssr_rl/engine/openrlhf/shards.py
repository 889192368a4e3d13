"""Cut a batch into parts for the training ranks: which rows each gets, and with which weights.

The weights of an update are computed here for all of its rows. Ranks and micro-batches then only
add up, so their number changes nothing. Needs no cluster.

Shapes: P problems, G rollouts each, B rows, T response tokens.
"""

import io
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from mssr_rl.engine.regroup import rollouts_of
from mssr_rl.engine_protocol import Rollouts, UpdatePlan
from mssr_rl.loss import Weights
from mssr_rl.objective import Given
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE


class RankRows(NamedTuple):
    """The rollouts of one rank."""

    problems: tuple[Problem, ...]  # B
    token_BT: Tensor
    mask_BT: Tensor

    def pick(self, row: Tensor) -> "RankRows":
        """Return some of the rows."""
        problems = tuple(self.problems[i] for i in row.tolist())
        return RankRows(problems, self.token_BT[row], self.mask_BT[row])

    def split(self, size: int) -> "Iterator[RankRows]":
        """Yield micro-batches, each cut to its longest response."""
        for start in range(0, len(self.problems), size):
            here = slice(start, start + size)
            width = max(1, int(self.mask_BT[here].sum(1).max()))
            yield RankRows(
                self.problems[here], self.token_BT[here, :width], self.mask_BT[here, :width]
            )


class Shard(NamedTuple):
    """One rank's part of one optimiser update."""

    rows: RankRows
    given: Given
    weights: Weights  # summed over all ranks they are the weights of the whole update
    views: tuple[RankRows, ...] = ()  # the same rows as each live view shows them


def rows_of(rollouts: Rollouts) -> RankRows:
    """Return all rows of a batch."""
    problems = tuple(p for p in rollouts.problems for _ in range(rollouts.group_size))
    return RankRows(problems, rollouts.token_BT, rollouts.mask_BT)


def equal_parts(count: int, parts: int) -> tuple[Tensor, ...]:
    """Return the indices below `count` in parts of equal size, as collective calls need.

    The last index is repeated until all parts are full.
    """
    each = -(-count // parts)
    return tuple(torch.arange(each * parts).clamp(max=count - 1).view(parts, each))


def shards(rollouts: Rollouts, given: Given, plan: UpdatePlan, ranks: int) -> list[list[Shard]]:
    """Return for every rank its shard of every update.

    Whole problems are shuffled and then split into updates.
    """
    generator = torch.Generator().manual_seed(plan.seed)
    # The same order from the same seed as in the local engine: tests compare the updates of the
    # two.
    order = torch.randperm(len(rollouts.problems), generator=generator)
    rows = rows_of(rollouts)
    views = [rows_of(rollouts._replace(problems=shown)) for shown in plan.view_problems]
    shards_of_rank: list[list[Shard]] = [[] for _ in range(ranks)]
    updates = order.split(plan.samples_per_update // rollouts.group_size)
    for update, problems in enumerate(updates):
        picked = rollouts_of(problems, rollouts.group_size)
        whole = plan.prepared(given, picked, update)
        for rank, part in enumerate(_full_parts(len(picked), plan.samples_per_update, ranks)):
            row = picked[part.row]
            weighed = Weights(*(w[part.row] * part.counts[:, None] for w in whole.weights))
            width = rollouts.mask_BT.shape[1]
            seen = tuple(view.pick(row) for view in views)
            given_here = whole.given.at(part.row, width)
            shards_of_rank[rank].append(Shard(rows.pick(row), given_here, weighed, seen))
    return shards_of_rank


class _Part(NamedTuple):
    row: Tensor  # into the update
    counts: Tensor  # 0 for a row that only fills the part up


def _full_parts(count: int, full: int, ranks: int) -> list[_Part]:
    """Return the rows of an update for each rank.

    DeepSpeed updates after a fixed number of passes. So the last update of a step, which may have
    fewer rows, is filled up.
    """
    index = torch.arange(-(-full // ranks) * ranks).view(ranks, -1)
    return [_Part(part.clamp(max=count - 1), (part < count).float()) for part in index]


def only_some_have_pictures(problems: Sequence[Problem]) -> bool:
    """Return whether a batch mixes prompts with and without pictures."""
    return len({bool(problem.images) for problem in problems}) > 1


def with_picture(rows: RankRows) -> RankRows:
    """Return the rows. If none has a picture, add a row with a blank one that no loss counts.

    Ranks must meet in every weight. If one rank skipped the vision tower, the others would wait for
    it (ZeRO-3), or the ranks would sum the gradients of different weights (ZeRO-2).
    """
    if any(problem.images for problem in rows.problems):
        return rows
    one = rows.token_BT[:1]
    return RankRows(
        (*rows.problems, _blank()),
        torch.cat((rows.token_BT, one)),
        torch.cat((rows.mask_BT, torch.zeros_like(rows.mask_BT[:1]))),
    )


@cache
def _blank() -> Problem:
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(out, "PNG")
    return Problem(key="blank", prompt=IMAGE, answer="", images=(out.getvalue(),))
