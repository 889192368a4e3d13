"""Draws small random batches for the checks of algorithms. Pure functions.

Shapes: P problems in a batch, G rollouts each, B = P * G, T response tokens.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from mssr_rl.advantage import Batch

NUM_PROBLEMS = 12  # N
WIDTH = 6  # T
ROWS = (3, 0, 7, 11, 5, 1, 2, 9)
ROWS_WITH_ONE_TWICE = (3, 0, 7, 11, 3, 5, 1, 2)


def draw(seed: int, group_size: int, rows: tuple[int, ...] = ROWS_WITH_ONE_TWICE) -> Batch:
    """Return a batch of `len(rows)` groups with every field that an algorithm may read."""
    generator = torch.Generator().manual_seed(seed)
    b = len(rows) * group_size
    length_B = torch.randint(1, WIDTH + 1, (b,), generator=generator)
    mask_BT = (torch.arange(WIDTH) < length_B[:, None]).float()
    one, two, three = (torch.rand(b, WIDTH, generator=generator) * mask_BT for _ in range(3))
    return Batch(
        reward_B=torch.rand(b, generator=generator).round().double(),
        problem_B=torch.tensor(rows).repeat_interleave(group_size),
        mask_BT=mask_BT,
        logprob_BT=-one,
        entropy_BT=two,
        logprob_ref_BT=-three,
        kl_step=0.004,
        group_size=group_size,
        response_limit=WIDTH,
        greedy_B=torch.rand(len(rows), generator=generator)
        .round()
        .double()
        .repeat_interleave(group_size),
    )


def degenerate(group_size: int) -> Iterator[tuple[str, Batch]]:
    """Yield unusual batches that can occur in a run, each with a description."""
    usual = draw(8, group_size)
    for reward in (0.0, 1.0, 0.1):
        equal_B = torch.full_like(usual.reward_B, reward)
        yield f"when every reward is {reward:g}", usual._replace(reward_B=equal_B)
    yield "on a batch of one group", draw(9, group_size, ROWS[:1])
    third_B1 = (torch.arange(len(usual.reward_B)) % 3 > 0)[:, None]
    yield "when some responses have no token", usual._replace(mask_BT=usual.mask_BT * third_B1)
    yield "when tokens inside responses have no loss", holed(usual)
    yield "when no response has a token", changed(usual, lambda x: x[:, :0], "_BT")
    yield "before any KL was measured", usual._replace(kl_step=None)
    yield "when the policy jumped", usual._replace(kl_step=50.0)


def holed(batch: Batch) -> Batch:
    """Return the batch in which every third token has no loss, as if a tool had written it."""
    return batch._replace(mask_BT=batch.mask_BT * (torch.arange(batch.mask_BT.shape[1]) % 3 != 1))


def changed(batch: Batch, change: Callable[[Tensor], Tensor], ending: str = "") -> Batch:
    """Return the batch with `change` applied to every tensor whose name ends with `ending`."""
    tensors = {name: x for name, x in batch._asdict().items() if isinstance(x, Tensor)}
    after: dict[str, Any] = {n: change(x) for n, x in tensors.items() if n.endswith(ending)}
    return batch._replace(**after)


def tensors_of(batch: Batch) -> dict[str, Tensor]:
    """Return the batch's tensors by name."""
    return {name: x for name, x in batch._asdict().items() if isinstance(x, Tensor)}
