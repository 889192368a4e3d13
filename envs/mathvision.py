r"""MATH-Vision (MathLLMs/MathVision, arXiv 2402.14804): competition problems, letters and values.

Columns: id, question (with <image1>), options, image (path), decoded_image, answer, solution,
level, subject. Some questions name several pictures that are stored as one picture, and some name
none. The one picture is then put in front. Gold answers are repaired when they are read. Dollar
signs, boxes and blanks around them are removed. A form feed becomes \f again, the beginning of
\frac. Vision-R1-RL was made in part from this data set.
"""

import re
from collections.abc import Iterator

from mssr_rl.data import multiple_choice
from mssr_rl.envs import bench, drawn, official_mathv
from mssr_rl.envs.environment import Rules

_TAG = re.compile(r"<image[0-9]*>")


def _row(raw: bench.Row) -> bench.Row:
    question, images = raw["question"], bench.pictures_of(raw, "decoded_image", "image")
    tags = _TAG.findall(question)
    text = _TAG.sub("<image>" if len(tags) == len(images) else "", question)
    choices = [str(option) for option in raw.get("options") or ()]
    return {
        "id": raw["id"],
        "problem": multiple_choice.with_options(text, choices) if choices else text,
        "images": images,
        "answer": bench.text_of(raw, "answer").replace("\f", "\\f").strip(),
        "raw_answer": bench.text_of(raw, "answer"),
        "choices": choices,
        "level": raw.get("level"),
        "subject": raw.get("subject"),
    }


def _drawn(split: str, count: int) -> Iterator[bench.Row]:
    for number, item in enumerate(drawn.items(split, count)):
        four = drawn.choice(item) if number % 2 else None
        yield {
            "id": item.key,
            "question": f"{item.question} <image1>",
            "options": four.options if four else [],
            "image": f"images/{item.key}.png",
            "decoded_image": {"bytes": item.png, "path": None},
            "answer": four.letter if four else item.answer,
            "level": item.level + 1,
            "subject": item.family,
        }


FORMAT = bench.Format(
    name="mathvision",
    gym_id="MathVision",
    about="Competition problems with pictures (MathLLMs/MathVision).",
    hub="MathLLMs/MathVision",
    splits={"val": ("testmini", "val"), "test": ("test",)},
    row=_row,
    drawn=_drawn,
    official=Rules(
        per_problem=official_mathv.verdict,
        extraction=official_mathv.EXTRACTION,
        respond=official_mathv.response,
        metric="accuracy by the set's own code",
    ),
)
mathvision = bench.registered_with_official(FORMAT)
