"""How many problems the local engine trains on at once.

`train.micro_batch` counts rollouts that each have a prompt of their own. Rollouts of one problem
share their prompt, so on a CPU a block of equal cost holds more of them. Small blocks spend their
time between operations; large ones do not fit into the cache (docs/speed.md). On a GPU memory is
the limit, so there a block holds `train.micro_batch` rollouts whatever they share.
`train.micro_tokens` bounds a block by its tokens instead, and may split a group.

Shapes: P problems, G rollouts per problem, B = P * G (problem-major).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class MicroBatch(NamedTuple):
    """Problems, and the same number of rollouts of each, that are computed in one pass."""

    problems: Tensor  # rows among the P problems
    rollouts: Tensor  # rows among the B rollouts, problem-major


class Tokens(NamedTuple):
    """The tokens in a batch of rollouts; only the ratio of the two numbers matters."""

    prompt: int  # in all prompts, each counted once
    response: int  # in all responses


def problems_together(micro_batch: int, group_size: int, tokens: Tokens) -> int:
    """Return how many problems have as many tokens as `micro_batch` unshared rollouts."""
    # Both costs are multiplied by P * G, the number of rollouts, so that whole numbers are enough.
    alone = micro_batch * (tokens.prompt * group_size + tokens.response)
    return max(1, alone // (group_size * max(1, tokens.prompt + tokens.response)))


def even(problems: int, most: int) -> int:
    """Return the number of problems in a block, at most `most`.

    Blocks are about equal in size, and there are at least two of them, one for each of two cores.
    """
    blocks = max(-(-problems // most), min(2, problems))
    return -(-problems // blocks)


def by_tokens(
    prompts: Sequence[int], responses: Sequence[Sequence[int]], most: int
) -> Iterator[tuple[range, range]]:
    """Yield blocks of at most `most` tokens, in order: a range of problems, and one of a group.

    `prompts` holds the tokens of each prompt, `responses` those of the group of each problem. A
    block holds whole groups, or a part of one group that is too large alone; its prompt is then
    read once for each part. A single rollout is never split, however long it is.
    """
    start, tokens = 0, 0
    for row, (prompt, group) in enumerate(zip(prompts, responses, strict=True)):
        whole = prompt + sum(group)
        if row > start and tokens + whole > most:
            yield range(start, row), range(len(responses[start]))
            start, tokens = row, 0
        if whole > most:
            yield from ((range(row, row + 1), part) for part in _split(group, most - prompt))
            start, tokens = row + 1, 0
        else:
            tokens += whole
    if start < len(prompts):
        yield range(start, len(prompts)), range(len(responses[start]))


def _split(group: Sequence[int], most: int) -> Iterator[range]:
    """Yield parts of a group with at most `most` response tokens, or with one rollout."""
    first, tokens = 0, 0
    for rollout, response in enumerate(group):
        if rollout > first and tokens + response > most:
            yield range(first, rollout)
            first, tokens = rollout, 0
        tokens += response
    yield range(first, len(group))


def block_of(rows: Tensor, group_size: int, chosen: tuple[range, range]) -> MicroBatch:
    """Return a block of the problems `rows` as rows among all problems and all rollouts."""
    problems, group = (torch.tensor(list(part)) for part in chosen)
    return MicroBatch(rows[problems], (rows[problems][:, None] * group_size + group).flatten())
