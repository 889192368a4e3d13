"""How many problems the local engine trains on at once: a micro-batch, cut by tokens.

`train.micro_batch` counts rollouts that each have a prompt of their own. Rollouts of one problem
share theirs, so on a CPU more of them make the same block: small blocks spend their time between
operations, large ones outgrow the cache (docs/speed.md). A GPU's blocks hold `train.micro_batch`
rollouts whatever they share, because there memory is what blocks are cut for.
"""

from typing import NamedTuple


class Tokens(NamedTuple):
    """What a batch of rollouts consists of; only the ratio matters."""

    prompt: int  # in all prompts, each once
    response: int  # in all responses


def problems_together(micro_batch: int, group_size: int, tokens: Tokens) -> int:
    """Problems whose prompts and responses are as many tokens as `micro_batch` rollouts alone."""
    alone = micro_batch * (tokens.prompt * group_size + tokens.response)
    return max(1, alone // (group_size * max(1, tokens.prompt + tokens.response)))


def even(problems: int, most: int) -> int:
    """Problems in a block, at most so many; blocks about equal, and two for two cores."""
    blocks = max(-(-problems // most), min(2, problems))
    return -(-problems // blocks)
