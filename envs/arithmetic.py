"""Arithmetic problems in words, without pictures, that a small language model can sometimes solve.

Levels 1 to 4 take turns: sums of one digit, products and differences of one digit, sums of two
digits, two operations. Only the numbers decide the split. So no sum of val or test occurs in train,
whatever its words are.
"""

import hashlib
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mssr_rl.envs.environment import WORKED, ProblemEnv, register
from mssr_rl.errors import UserError
from mssr_rl.options import require
from mssr_rl.problem import Problem

COUNTS = {"train": 1024, "val": 128, "test": 256}
SHARES = {"train": 6, "val": 2, "test": 2}  # of ten sums

NAMES = ("Ann", "Ben", "Carla", "David", "Emma", "Farid", "Grace", "Hugo", "Iris", "Jonas")
THINGS = ("apples", "books", "cards", "coins", "eggs", "marbles", "pens", "stamps", "shells")


LEVELS = (1, 2, 3, 4)


class Sum(NamedTuple):
    """The numbers, the operation and the answer of a problem, without its words."""

    sign: str
    numbers: tuple[int, ...]
    answer: int

    @property
    def written(self) -> str:
        """The sum as text, such as `3 × 4 + 5`."""
        signs = (*self.sign, "")
        parts = zip(self.numbers, signs, strict=True)
        return " ".join(f"{number} {sign}" for number, sign in parts).strip()


PLAIN = "What is {sum}?"
TOLD = {
    "+": (
        "{name} has {0} {things} and gets {1} more. How many {things} does {name} have now?",
        "There are {0} {things} on the table and {1} in the box. How many are there in all?",
    ),
    "-": (
        "{name} has {0} {things} and gives {1} away. How many {things} are left?",
        "Of {0} {things}, {1} are sold. How many remain?",
    ),
    "×": (
        "{name} has {0} bags with {1} {things} in each. How many {things} is that?",
        "There are {0} rows of {1} {things}. How many {things} are there?",
    ),
    "+-": (
        "{name} has {0} {things}, finds {1} and loses {2}. How many {things} does {name} have now?",
    ),
    "×+": (
        "{name} buys {0} boxes of {1} {things} and {2} single ones. How many {things} is that?",
    ),
}


def _drawn(level: int, draw: random.Random) -> Sum:
    """Return a random sum of a level."""
    a, b, c = (draw.randint(2, 9) for _ in range(3))
    if level == 1:
        return Sum("+", (a, b), a + b)
    if level == 2:
        more, less = max(a, b), min(a, b)
        return Sum("×", (a, b), a * b) if c % 2 else Sum("-", (more, less), more - less)
    if level == 3:
        a, b = draw.randint(11, 60), draw.randint(11, 39)
        return Sum("+", (a, b), a + b)
    if c % 2:
        return Sum("×+", (a, b, c), a * b + c)
    return Sum("+-", (a, b, min(c, a)), a + b - min(c, a))


def _split_of(made: Sum) -> str:
    """Return the split of a sum, from its numbers only: `a + b` and `b + a` have the same split."""
    label = f"{made.sign} {sorted(made.numbers)}".encode()
    bucket = int.from_bytes(hashlib.blake2b(label, digest_size=4).digest()) % 10
    return "train" if bucket < SHARES["train"] else ("val", "test")[bucket % 2]


def _words(made: Sum, draw: random.Random) -> str:
    if draw.random() < 0.3:
        return PLAIN.format(sum=made.written)
    told = draw.choice(TOLD[made.sign])
    return told.format(*made.numbers, name=draw.choice(NAMES), things=draw.choice(THINGS))


def _problems(split: str, count: int, levels: Sequence[int]) -> Iterator[Problem]:
    draw = random.Random(f"arithmetic {split}")
    made = 0
    while made < count:
        level = levels[made % len(levels)]
        drawn_sum = _drawn(level, draw)
        if _split_of(drawn_sum) != split:
            continue
        made += 1
        yield Problem(
            key=f"arithmetic-{split}-{made:04}",
            prompt=_words(drawn_sum, draw),
            answer=str(drawn_sum.answer),
            tags={"family": f"sum {drawn_sum.sign}", "level": str(level)},
            extras={WORKED: f"{drawn_sum.written} = {drawn_sum.answer}"},
        )


@register("arithmetic", gym_id="Arithmetic")
def arithmetic(
    *,
    split: str = "train",
    instruction: str = "short",
    limit: int | None = None,
    reward: str = "accuracy",
    levels: tuple[int, ...] = LEVELS,
) -> ProblemEnv:
    """Reward 1 for a right answer in the last box, else 0; text only, for language models.

    Args:
        split: train, val or test.
        instruction: the text that is added to each problem: short, paper (MSSR's words) or none.
        limit: take only the first problems of the split.
        reward: accuracy, a sum such as 0.9*accuracy+0.1*format, or random.
        levels: which of the four take turns, e.g. 1,2.
    """
    if split not in COUNTS:
        raise UserError(f"no split {split!r}; choose from {', '.join(COUNTS)}")
    require(bool(levels) and set(levels) <= set(LEVELS), "env.levels", levels, "some of 1,2,3,4")
    problems = list(_problems(split, min(limit or COUNTS[split], COUNTS[split]), levels))
    return ProblemEnv(
        problems,
        name="arithmetic",
        split=split,
        instruction=instruction,
        reward=reward,
    )
