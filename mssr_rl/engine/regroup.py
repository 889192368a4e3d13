"""Select the rollouts of some problems, and join several batches of rollouts into one.

The functions are pure. They are for steps that sample more than once (`run.gather`). The prompt
tokens of dropped rollouts still count towards the budget.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from mssr_rl.engine_protocol import Rollouts
from mssr_rl.problem import Problem


def picked(rollouts: Rollouts, problem_rows: Sequence[int]) -> Rollouts:
    """Return the rollouts of the problems `problem_rows`, in this order."""
    rows = torch.tensor(problem_rows, dtype=torch.int64)
    row_B: list[int] = rollouts_of(rows, rollouts.group_size).tolist()
    sampler_BT, learns_BT = rollouts.sampler_logprob_BT, rollouts.learns_BT
    return rollouts._replace(
        problems=tuple(rollouts.problems[row] for row in problem_rows),
        responses=tuple(rollouts.responses[row] for row in row_B),
        token_BT=rollouts.token_BT[row_B],
        mask_BT=rollouts.mask_BT[row_B],
        logprob_BT=rollouts.logprob_BT[row_B],
        entropy_BT=rollouts.entropy_BT[row_B],
        truncated_B=rollouts.truncated_B[row_B],
        sampler_logprob_BT=None if sampler_BT is None else sampler_BT[row_B],
        learns_BT=None if learns_BT is None else learns_BT[row_B],
    )


def joined(lots: Sequence[Rollouts]) -> Rollouts:
    """Return several batches as one batch, padded to the longest response.

    The added padding is 0, and its mask is 0.
    """
    if len(lots) == 1:
        return lots[0]
    sampler = [x for x in (lot.sampler_logprob_BT for lot in lots) if x is not None]
    return lots[0]._replace(
        problems=tuple(problem for lot in lots for problem in lot.problems),
        responses=tuple(response for lot in lots for response in lot.responses),
        prompt_tokens=sum(lot.prompt_tokens for lot in lots),
        image_tokens=sum(lot.image_tokens for lot in lots),
        token_BT=_stacked([lot.token_BT for lot in lots]),
        mask_BT=_stacked([lot.mask_BT for lot in lots]),
        logprob_BT=_stacked([lot.logprob_BT for lot in lots]),
        entropy_BT=_stacked([lot.entropy_BT for lot in lots]),
        truncated_B=torch.cat([lot.truncated_B for lot in lots]),
        sampler_logprob_BT=_stacked(sampler) if len(sampler) == len(lots) else None,
        learns_BT=_learns(lots),
    )


def side_by_side(one: Rollouts, two: Rollouts) -> Rollouts:
    """Return both batches as one whose groups hold the rollouts of `one`, then those of `two`.

    Both answer the same problems, in the same order.
    """
    count, first = len(one.problems), len(one.responses)
    row_B = torch.cat(
        [
            torch.arange(first).view(count, -1),
            torch.arange(first, first + len(two.responses)).view(count, -1),
        ],
        dim=1,
    ).flatten()
    # As groups of one, so that `picked` can take the rollouts in any order.
    both = joined([lot._replace(problems=_repeated(lot), group_size=1) for lot in (one, two)])
    group_size = one.group_size + two.group_size
    return picked(both, row_B.tolist())._replace(problems=one.problems, group_size=group_size)


def _repeated(lot: Rollouts) -> tuple[Problem, ...]:
    return tuple(problem for problem in lot.problems for _ in range(lot.group_size))


def _learns(lots: Sequence[Rollouts]) -> Tensor | None:
    if all(lot.learns_BT is None for lot in lots):
        return None
    return _stacked([lot.mask_BT if (x := lot.learns_BT) is None else x for lot in lots])


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    width = max(x.shape[1] for x in parts)
    return torch.cat([torch.nn.functional.pad(x, (0, width - x.shape[1])) for x in parts])


def rollouts_of(rows: Tensor, group_size: int) -> Tensor:
    """Return the indices of all rollouts of the problems `rows`, problem-major."""
    return (rows[:, None] * group_size + torch.arange(group_size)).flatten()
