"""R1-OneVision-Bench (Fancy-MLLM/R1-Onevision-Bench): 942 rows, all in a split called train.

Columns: index, question (with a hint and options), image as base64 text, choices, answer, category,
level. The prompt is the text of the question after the last "Question: ". MSSR's judge model is not
used. Letters and values are graded by rule here, and the case of letters is ignored. Some rows come
from MathVision, and so do some rows of Vision-R1-RL.
"""

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from mssr_rl.data import multiple_choice
from mssr_rl.envs import bench, drawn


def _row(raw: bench.Row) -> bench.Row:
    question = raw["question"].rpartition("Question: ")[2].strip()
    answer = bench.text_of(raw, "answer").strip()
    choices = _choices(raw.get("choices")) or multiple_choice.inline(question)
    letter = answer.upper() if len(answer) == 1 and answer.isalpha() and choices else answer
    return {
        "id": str(raw["index"]),
        "problem": question,
        "images": [{"bytes": _picture(raw["image"])}] if raw["image"] else [],
        "answer": letter,
        "choices": choices,
        "category": raw.get("category"),
        "level": raw.get("level"),
    }


def _choices(value: Any) -> list[str] | None:
    """Return the options in a list, or in a text with one option per line, or None."""
    if isinstance(value, str):
        return multiple_choice.inline(value)
    return [str(option) for option in value] if value else None


def _picture(text: str) -> bytes:
    try:
        return base64.b64decode(text.partition("base64,")[2] or text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"its image is not base64 text ({error})") from error


def _drawn(split: str, count: int) -> Iterator[bench.Row]:
    for number, item in enumerate(drawn.items(split, count)):
        four = drawn.choice(item) if number % 2 else None
        hint = "answer with the letter" if four else "answer with the value"
        question = (
            multiple_choice.with_options(item.question, four.options) if four else item.question
        )
        yield {
            "index": number,
            "question": f"Hint: {hint}.\nQuestion: {question}",
            "image": drawn.base64_of(item),
            "choices": four.options if four else None,
            "answer": four.letter if four else item.answer,
            "category": item.family,
            "level": item.level + 1,
        }


FORMAT = bench.Format(
    name="r1_onevision_bench",
    gym_id="R1OnevisionBench",
    about="School problems of five subjects and levels (Fancy-MLLM/R1-Onevision-Bench).",
    hub="Fancy-MLLM/R1-Onevision-Bench",
    splits={"test": ("train", "test")},
    row=_row,
    drawn=_drawn,
)
r1_onevision_bench = bench.registered(FORMAT)
