"""How many problems the local engine trains on at once.

`train.micro_batch` counts rollouts that each have a prompt of their own. Rollouts of one problem
share their prompt, so on a CPU a block of equal cost holds more of them. Small blocks spend their
time between operations; large ones do not fit into the cache (docs/speed.md). On a GPU memory is
the limit, so there a block holds `train.micro_batch` rollouts whatever they share.
"""

from typing import NamedTuple


class Tokens(NamedTuple):
    """The tokens in a batch of rollouts; only the ratio of the two numbers matters."""

    prompt: int  # in all prompts, each counted once
    response: int  # in all responses


def problems_together(micro_batch: int, group_size: int, tokens: Tokens) -> int:
    """Return how many problems have as many tokens as `micro_batch` unshared rollouts."""
    alone = micro_batch * (tokens.prompt * group_size + tokens.response)
    return max(1, alone // (group_size * max(1, tokens.prompt + tokens.response)))


def even(problems: int, most: int) -> int:
    """Return the number of problems in a block, at most `most`.

    Blocks are about equal in size, and there are at least two of them, one for each of two cores.
    """
    blocks = max(-(-problems // most), min(2, problems))
    return -(-problems // blocks)
