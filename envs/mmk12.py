"""MMK12 (FanqingM/MMK12): problems from school subjects. Test answers are letters of options.

Columns: id, question, answer, subject, image (may be null). Options are lines `A. ...` of the
question. If they can be read there, the letter and the value of the right option are both right
answers.
"""

from collections.abc import Iterator

from mssr_rl.data import multiple_choice
from mssr_rl.envs import bench, drawn


def _row(raw: bench.Row) -> bench.Row:
    question, answer = raw["question"], bench.text_of(raw, "answer").strip()
    row = {
        "id": raw["id"],
        "problem": question,
        "images": bench.pictures_of(raw, "image"),
        "answer": answer,
        "subject": raw.get("subject"),
    }
    choices = multiple_choice.inline(question)
    return {**row, "choices": choices} if choices and answer in tuple("ABCDEFGHIJ") else row


def _drawn(split: str, count: int) -> Iterator[bench.Row]:
    """Yield rows with letters as answers in test and open answers in train, as in MMK12."""
    for item in drawn.items(split, count):
        four = drawn.choice(item) if split == "test" else None
        options = zip(drawn.LETTERS, four.options, strict=True) if four else ()
        yield {
            "id": item.key,
            "question": "\n".join([item.question, *(f"{a}. {text}" for a, text in options)]),
            "answer": four.letter if four else item.answer,
            "subject": item.family,
            "image": {"bytes": item.png, "path": None},
        }


FORMAT = bench.Format(
    name="mmk12",
    gym_id="MMK12",
    about="School mathematics and science, four subjects (FanqingM/MMK12).",
    hub="FanqingM/MMK12",
    splits={"train": ("train",), "val": ("test",), "test": ("test",)},
    row=_row,
    drawn=_drawn,
)
mmk12 = bench.registered(FORMAT)
