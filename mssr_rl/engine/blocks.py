"""Split the rollouts of an update into blocks that the local engine computes in one pass.

`train.micro_batch` is a number of rollouts, each with its own prompt. Rollouts of one problem share
their prompt. So on a CPU, a block of the same cost holds more rollouts. Small blocks lose time
between operations; large blocks do not fit into the cache (docs/speed.md). On a GPU memory is the
limit, so a block holds `train.micro_batch` rollouts. `train.micro_tokens` limits the tokens of a
block instead, and may split a group.

Shapes: P problems, G rollouts per problem, B = P * G (problem-major).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class MicroBatch(NamedTuple):
    """The problems and rollouts of one pass, with the same number of rollouts for each problem."""

    problems: Tensor  # rows among the P problems
    rollouts: Tensor  # rows among the B rollouts, problem-major


class Tokens(NamedTuple):
    """The numbers of prompt and response tokens in a batch; only their ratio is used."""

    prompt: int  # in all prompts, each counted once
    response: int  # in all responses


def problems_together(micro_batch: int, group_size: int, tokens: Tokens) -> int:
    """Return the number of problems in a block, at least 1.

    With shared prompts, they have as many tokens as `micro_batch` rollouts with their own prompts.
    """
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
    """Yield blocks of at most `most` tokens, in order, each as two ranges.

    The first is the block's problems, the second the rollouts of each of their groups. `prompts`
    is the number of tokens of each prompt, and `responses` those of each problem's responses. A
    block holds whole groups, or a part of one group that has more than `most` tokens. In that case
    the prompt is read once for each part. A single rollout is never split.
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
    """Yield ranges of a group's rollouts, each with at most `most` response tokens.

    A range with a single rollout may have more.
    """
    first, tokens = 0, 0
    for rollout, response in enumerate(group):
        if rollout > first and tokens + response > most:
            yield range(first, rollout)
            first, tokens = rollout, 0
        tokens += response
    yield range(first, len(group))


def block_of(rows: Tensor, group_size: int, chosen: tuple[range, range]) -> MicroBatch:
    """Return a block as a micro-batch, with indices into all problems and all rollouts.

    `chosen` is the block's two ranges from `by_tokens`: positions in `rows`, and in each group.
    """
    problems, group = (torch.tensor(list(part)) for part in chosen)
    return MicroBatch(rows[problems], (rows[problems][:, None] * group_size + group).flatten())
