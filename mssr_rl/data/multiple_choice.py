"""Read the options of a multiple-choice question in any form, and show them to the model.

`shown` tests whether the question already lists its options. If it does not, `with_options` adds
them. A model can only choose a letter if it sees the option of that letter.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from mssr_rl.data import column_content

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_LINE = re.compile(r"^\s*\(?([A-Z])[).:\uff0e\u3001]\s*(.*\S)\s*$", re.MULTILINE)
_RUN_ON = re.compile(r"(?:^|(?<=[\s;,(]))\(?([A-Z])[).:\uff0e\u3001]\s*")
_NONE = (None, "", "[]", "None", "nan")


def read_options(cells: Sequence[Any]) -> list[str] | None:
    """Return the options in the cells; None if there are none.

    One cell may have all options, or each cell may have one option.

    Raises:
        ValueError: the options are not texts.
    """
    filled = [value for value in cells if not _is_none(value)]
    if not filled:
        return None
    if len(cells) > 1:
        return [_text(value) for value in filled]
    options = _several(filled[0])
    return without_letters(options) if options else None


def inline(question: str) -> list[str] | None:
    """Return the options in a question's lines such as `A. 5` or `(B) 6`, without letters.

    Returns None if there are fewer than two, or if the letters are not in order from A.
    """
    lettered = _LINE.findall(question)
    letters = "".join(letter for letter, _ in lettered)
    if len(lettered) < 2 or not LETTERS.startswith(letters):
        return None
    return [text for _, text in lettered]


def shown(question: str, options: Sequence[str]) -> bool:
    """Return whether the question already lists the options.

    Also True if the options are only letters, because the picture then shows them.
    """
    if [option.strip() for option in options] == list(LETTERS[: len(options)]):
        return True  # the options are drawn in the picture
    text = " ".join(question.split())
    return all(
        re.search(
            rf"(?<![A-Za-z]){letter}[).:\uff0e\u3001\]]\s*{re.escape(' '.join(option.split()))}",
            text,
        )
        for letter, option in zip(LETTERS, options, strict=False)
    )


def with_options(question: str, options: Sequence[str]) -> str:
    """Return the question with its options below it, each with a letter."""
    lines = [f"({letter}) {text}" for letter, text in zip(LETTERS, options, strict=False)]
    return "\n".join([question, "Choices:", *lines])


def letter(place: Any, first: int, options: Sequence[str] | None) -> str:
    """Return the letter of the option at a position; positions count from `first`.

    Raises:
        ValueError: the value is not a position, or there is no option at it.
    """
    if options is None:
        raise ValueError("has the place of an option as its answer, but no options")
    text = str(int(place)) if isinstance(place, float) and place.is_integer() else str(place)
    if isinstance(place, bool) or not text.strip().isdecimal():
        raise ValueError(f"has the answer {str(place)[:40]!r}, which is not the place of an option")
    index = int(text) - first
    if not 0 <= index < len(options):
        raise ValueError(
            f"has the answer {text}, but its {len(options)} options count from {first}"
            f" to {len(options) - 1 + first}"
        )
    return LETTERS[index]


def without_letters(options: Sequence[str]) -> list[str]:
    """Return options such as `A. 5` or `(B) 6` without their letters.

    They are returned unchanged unless all of them have their letter.
    """
    marks = [_LINE.fullmatch(option) for option in options]
    if len(options) > 1 and all(m and m[1] == LETTERS[i] for i, m in enumerate(marks)):
        return [m[2] for m in marks if m]
    return list(options)


def _several(value: Any) -> list[str]:
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, Mapping):
        if isinstance(value.get("text"), list | tuple):
            return [_text(item) for item in value["text"]]
        return [_text(item) for item in value.values() if not _is_none(item)]
    if isinstance(value, list | tuple):
        return [_text(item) for item in value]
    raise ValueError(f"has choices that are not a list of texts but {type(value).__name__}")


def _from_text(text: str) -> list[str]:
    """Return the options in a text: a list, a JSON object, or options with letters."""
    listed = column_content.items(text)
    if len(listed) > 1 or listed != [text]:
        return [_text(item) for item in listed]
    if isinstance(parsed := column_content.literal(json.loads, text), Mapping):
        return _several(parsed)
    if parsed := inline(text):
        return parsed
    parts = _RUN_ON.split(text)
    letters, texts = (
        "".join(parts[1::2]),
        [part.strip().rstrip(";,").strip() for part in parts[2::2]],
    )
    if len(letters) > 1 and LETTERS.startswith(letters) and not parts[0].strip():
        return texts
    raise ValueError(f"has choices that are not a list of texts: {text[:60]!r}")


def _text(item: Any) -> str:
    inner = item
    if isinstance(item, Mapping):
        inner = item.get("text", item.get("content", item.get("value")))
    if isinstance(inner, bool) or not isinstance(inner, str | int | float):
        raise ValueError(f"has choices that are not texts but {type(item).__name__}")
    if isinstance(inner, float) and inner.is_integer():
        return str(int(inner))
    return str(inner).strip()


def _is_none(value: Any) -> bool:
    if isinstance(value, list | tuple | Mapping):
        return len(value) == 0
    return value in _NONE or (isinstance(value, float) and math.isnan(value))
