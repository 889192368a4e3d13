"""MATH without pictures (hiyouga/math12k): columns problem and answer, answers in LaTeX."""

import random
from collections.abc import Iterator

from mssr_rl.envs import bench, drawn


def _row(raw: bench.Row) -> bench.Row:
    return {"problem": raw["problem"], "answer": raw["answer"]}


SPLITS = ("train", "val", "test")


def _drawn(split: str, count: int) -> Iterator[bench.Row]:
    """Yield sums from the solutions of the families' problems, each plus one more number.

    Without their pictures, the same sum would occur in several splits. The added number has another
    residue modulo 3 in every split, so no text occurs in two splits.
    """
    for item in drawn.items(split, 3 * count + 30):
        sums = item.steps.rstrip(".").split(". ")[-1]
        left, equals, right = sums.rpartition(" = ")
        if equals and right.lstrip("-").isdecimal() and count:
            count -= 1
            more = 3 * random.Random(item.key).randrange(4, 33) + SPLITS.index(split)
            yield {"problem": f"What is ${left} + {more}$?", "answer": str(int(right) + more)}


FORMAT = bench.Format(
    name="math12k",
    gym_id="Math12K",
    about="Competition mathematics in text (hiyouga/math12k).",
    hub="hiyouga/math12k",
    splits={"train": ("train",), "val": ("test",), "test": ("test",)},
    row=_row,
    drawn=_drawn,
)
math12k = bench.registered(FORMAT)
