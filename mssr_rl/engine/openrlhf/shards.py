"""Split a batch of rollouts into shards for the training ranks, with their token weights.

The token weights are those of the whole update. The losses of ranks and micro-batches are only
added, so the result does not depend on their number. This module does not need a cluster.

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
    """Rollouts as rows, each with its problem."""

    problems: tuple[Problem, ...]  # B
    token_BT: Tensor
    mask_BT: Tensor

    def pick(self, row: Tensor) -> "RankRows":
        """Return the rows with the indices `row`."""
        problems = tuple(self.problems[i] for i in row.tolist())
        return RankRows(problems, self.token_BT[row], self.mask_BT[row])

    def split(self, size: int) -> "Iterator[RankRows]":
        """Yield micro-batches of `size` rows, each cut to its longest response."""
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
    """Return all rollouts of a batch as rows."""
    problems = tuple(p for p in rollouts.problems for _ in range(rollouts.group_size))
    return RankRows(problems, rollouts.token_BT, rollouts.mask_BT)


def equal_parts(count: int, parts: int) -> tuple[Tensor, ...]:
    """Return the indices from 0 to `count` - 1, split into parts of equal size.

    The last index is repeated until all parts are full. Collective calls need equal parts.
    """
    each = -(-count // parts)
    return tuple(torch.arange(each * parts).clamp(max=count - 1).view(parts, each))


def shards(rollouts: Rollouts, given: Given, plan: UpdatePlan, ranks: int) -> list[list[Shard]]:
    """Return, for every rank, its shard of every update.

    Problems are shuffled and split into updates; the rollouts of a problem stay in one update.
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
    """Return the row indices of an update for each rank, `full` rows in total or a few more.

    DeepSpeed updates after a fixed number of passes. So if the last update of a step has fewer
    rows, its last row is repeated with weight 0.
    """
    index = torch.arange(-(-full // ranks) * ranks).view(ranks, -1)
    return [_Part(part.clamp(max=count - 1), (part < count).float()) for part in index]


def only_some_have_pictures(problems: Sequence[Problem]) -> bool:
    """Return whether some of the problems have pictures and others have none."""
    return len({bool(problem.images) for problem in problems}) > 1


def with_picture(rows: RankRows) -> RankRows:
    """Return the rows, with an additional row with a blank picture if none has a picture.

    The additional row has mask 0, so it has no part in the loss. It is needed because all ranks
    must use all weights, also those of the vision tower. Otherwise the other ranks would wait for
    this rank (ZeRO-3), or gradients of different weights would be summed (ZeRO-2).
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
