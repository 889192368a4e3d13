"""The ten families written in the columns of real data sets: choices, pairs, versions, kinds.

Everything a benchmark's code path needs without its pictures: the formats in `bench`'s files read
these rows exactly as they read the real ones. Scores on them say nothing about the real sets.
"""

import base64
import io
import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from mssr_rl.envs.families import mini_rows

LETTERS = "ABCD"
VERSIONS = ("Text Dominant", "Text Lite", "Vision Intensive", "Vision Dominant", "Vision Only")
OFFSETS = (1, -1, 2, 10, -2, 3)  # wrong options beside a whole number


class DrawnItem(NamedTuple):
    """One problem of a family, apart from any format."""

    key: str
    question: str
    answer: str
    png: bytes
    family: str
    level: int
    steps: str


def items(split: str, count: int) -> Iterator[DrawnItem]:
    """The first `count` problems of a split, families taking turns."""
    for row in mini_rows(split, count):
        question = str(row["problem"]).removeprefix("<image>")
        png = row["images"][0]["bytes"]
        yield DrawnItem(
            row["id"], question, row["answer"], png, row["family"], row["level"], row["steps"]
        )


class FourOptions(NamedTuple):
    """Four options and which of them is right."""

    options: list[str]
    letter: str


def choice(item: DrawnItem) -> FourOptions | None:
    """Four options for an answer that is a whole number or a fraction; None for other answers."""
    wrong = _wrong_answers(item.answer)
    if len(wrong) < 3:
        return None
    draw = random.Random(item.key)
    options = [item.answer, *draw.sample(wrong, 3)]
    draw.shuffle(options)
    return FourOptions(options, LETTERS[options.index(item.answer)])


def _wrong_answers(answer: str) -> list[str]:
    if answer.lstrip("-").isdecimal():
        return [str(int(answer) + offset) for offset in OFFSETS]
    if answer.startswith(r"\frac"):
        top, bottom = (int(part.strip("{}")) for part in answer[5:].split("}{"))
        near = {Fraction(top + 1, bottom), Fraction(top, bottom + 1), Fraction(top + 2, bottom)}
        near = near - {Fraction(top, bottom)}
        return [rf"\frac{{{f.numerator}}}{{{f.denominator}}}" for f in sorted(near)]
    return []


class PicturePair(NamedTuple):
    """Two pictures of one question with different answers."""

    family: str
    question: str
    items: tuple[DrawnItem, DrawnItem]


def pairs(split: str, count: int) -> Iterator[PicturePair]:
    """`count` pairs; the first pictures of a family that ask the same and show another answer."""
    waiting: dict[str, DrawnItem] = {}
    made = 0
    for item in items(split, 12 * count + 120):
        first = waiting.pop(item.question, None)
        if first is None or first.answer == item.answer:
            waiting[item.question] = first or item
            continue
        yield PicturePair(item.family, item.question, (first, item))
        made += 1
        if made == count:
            return


def pair_rows(split: str, count: int) -> Iterator[dict[str, Any]]:
    """HallusionBench's columns: of each of two figures is asked whether it shows either answer."""
    for number, pair in enumerate(pairs(split, count // 4 + 1)):
        for figure, shown in enumerate(pair.items, 1):
            for question, asked in enumerate(pair.items):
                yield {
                    "category": "VS", "subcategory": pair.family, "visual_input": str(figure),
                    "set_id": str(number), "figure_id": str(figure), "question_id": str(question),
                    "question": f"{pair.question} Is the answer {asked.answer}?",
                    "gt_answer": str(int(shown.answer == asked.answer)),
                    "gt_answer_details": shown.answer, "filename": f"{shown.key}.png",
                    "image": {"bytes": shown.png, "path": None}, "sample_note": "drawn",
                }  # fmt: skip


def written_on(item: DrawnItem, text: str) -> bytes:
    """The picture with the text written below it."""
    picture = Image.open(io.BytesIO(item.png)).convert("RGB")
    font = ImageFont.load_default(size=10)
    lines: list[str] = []
    line = ""
    for word in text.split():
        if line and font.getlength(f"{line} {word}") > picture.width - 4:
            lines, line = [*lines, line], word
        else:
            line = f"{line} {word}".strip()
    lines.append(line)
    canvas = Image.new("RGB", (picture.width, picture.height + 12 * len(lines) + 4), "white")
    canvas.paste(picture)
    for i, words in enumerate(lines):
        ImageDraw.Draw(canvas).text((2, picture.height + 12 * i + 1), words, "black", font)
    out = io.BytesIO()
    canvas.save(out, "PNG")
    return out.getvalue()


def base64_of(item: DrawnItem) -> str:
    """The picture as text."""
    return base64.b64encode(item.png).decode()
