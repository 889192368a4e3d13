"""Sums of two numbers, as text."""

from mssr_rl import register_environment
from mssr_rl.envs import ProblemEnv
from mssr_rl.problem import Problem


@register_environment("sums")
def sums(*, split: str = "train", largest: int = 9) -> ProblemEnv:
    """Sums of two numbers.

    Args:
        largest: the largest number in a sum
    """
    numbers = range(largest + 1)
    mine = ("train", "val", "test").index(split)  # no sum is in two splits
    problems = [
        Problem(key=f"{split}-{a}-{b}", prompt=f"What is {a} + {b}?", answer=str(a + b))
        for a in numbers
        for b in numbers
        if (a + b) % 3 == mine
    ]
    return ProblemEnv(problems, name="sums", split=split)
