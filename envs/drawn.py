"""The ten generated families in the columns of real data sets: choices, pairs, versions, kinds.

They exercise the code of a benchmark without its pictures. The formats in the benchmarks' files
read these rows exactly as they read the real ones. Scores on them say nothing about the real data.
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
OFFSETS = (1, -1, 2, 10, -2, 3)  # a wrong option is the right number plus one of these


class DrawnItem(NamedTuple):
    """One generated problem, before it is converted to the columns of a data set."""

    key: str
    question: str
    answer: str
    png: bytes
    family: str
    level: int
    steps: str


def items(split: str, count: int) -> Iterator[DrawnItem]:
    """Yield the first `count` problems of a split; the families take turns."""
    for row in mini_rows(split, count):
        question = str(row["problem"]).removeprefix("<image>")
        png = row["images"][0]["bytes"]
        yield DrawnItem(
            row["id"], question, row["answer"], png, row["family"], row["level"], row["steps"]
        )


class FourOptions(NamedTuple):
    """Four options, and the letter of the right option."""

    options: list[str]
    letter: str


def choice(item: DrawnItem) -> FourOptions | None:
    """Return four options for an answer that is a whole number or a fraction; else None."""
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
    """Two generated pictures with the same question and different answers."""

    family: str
    question: str
    items: tuple[DrawnItem, DrawnItem]


def pairs(split: str, count: int) -> Iterator[PicturePair]:
    """Yield `count` pairs of problems of one family with equal questions and different answers."""
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
    """Yield rows in the columns of HallusionBench, four rows for each pair of pictures.

    For each picture there are two questions: whether the answer is that of the first picture, and
    whether it is that of the second.
    """
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
    """Return the picture as PNG, with the text written below it."""
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
    """Return the PNG of the picture as base64 text."""
    return base64.b64encode(item.png).decode()
