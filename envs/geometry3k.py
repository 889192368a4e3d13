"""Geometry3K (hiyouga/geometry3k): the answer is the right option's value; no options are shown.

Columns: images (list of Image), problem (begins with <image>), answer, id, choices, ground_truth.
Licence MIT. Vision-R1-RL was made in part from this data set.
"""

from collections.abc import Iterator

from mssr_rl.envs import bench, drawn


def _row(raw: bench.Row) -> bench.Row:
    """Return a row without its options: the question does not show them.

    A letter would therefore mean nothing.
    """
    kept = {name: raw[name] for name in ("id", "family") if raw.get(name) is not None}
    images = bench.pictures_of(raw, "images")
    return {"problem": raw["problem"], "images": images, "answer": raw["answer"], **kept}


def _drawn(split: str, count: int) -> Iterator[bench.Row]:
    for item in drawn.items(split, count):
        four = drawn.choice(item)
        yield {
            "id": item.key,
            "images": [{"bytes": item.png, "path": None}],
            "problem": f"<image>{item.question}",
            "answer": item.answer,
            "choices": four.options if four else [item.answer],
            "ground_truth": four.letter if four else "A",
            "family": item.family,
        }


FORMAT = bench.Format(
    name="geometry3k",
    gym_id="Geometry3K",
    about="Geometry problems whose answer is a value (hiyouga/geometry3k).",
    hub="hiyouga/geometry3k",
    splits={"train": ("train",), "val": ("validation", "val"), "test": ("test",)},
    row=_row,
    drawn=_drawn,
)
geometry3k = bench.registered(FORMAT)
