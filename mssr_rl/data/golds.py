r"""Extract gold answers from stored values: tags, solutions, imprecise numbers and lists.

    <answer> 3 </answer>      We add ... #### 10      ... is \boxed{10}.      The answer is 10.
    0.10000000149 (float32)   Decimal("7.50")         ["7"]                   "C. 12" among options

A reward can only be as good as the gold answer. ValueError is raised for a gold answer that no
short response could match. If an answer was taken out of a longer text, `Gold.said` names the kind
of text, so that the user sees it.
"""

import math
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from mssr_rl.data import multiple_choice
from mssr_rl.grading.choices import gold_letter
from mssr_rl.grading.verify import gold_response, last_box, verify

LONGEST = 160  # characters of an answer; a longer text is taken for a solution
WORDIEST = 12  # words of an answer

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_HASHES = re.compile(r"####\s*([^\n#]+?)\s*$")
_SENTENCE = re.compile(
    r"(?:^|[\s,(])(?:final |correct |right )?(?:answer|option|choice)\s*(?:is|are|:|=)\s*:?\s*"
    r"(?P<answer>[^\n]{1,160}?)\s*\.?\s*$",
    re.IGNORECASE,
)
_LETTER_AND_TEXT = re.compile(r"\(?([A-Z])[).:\uff0e\u3001]\s*(.+)", re.DOTALL)
_DECIMAL = re.compile(r"[+-]?[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?")
_NO_ANSWER = ("nan", "none", "null", "n/a", "<na>")


class Gold(NamedTuple):
    """The gold answer of a row, and the kind of text that it was taken from."""

    text: str
    said: str = ""  # the kind of text around the answer; empty if the answer was stored alone


def gold(value: Any, options: Sequence[str] | None = None) -> Gold:
    """Return the gold answer in a cell. `options` are the row's options, if it has any.

    Raises:
        ValueError: no short response could match the answer; the message says why.
    """
    text = _plain(value, options)
    short = _short(text)
    answer = _of_options(short.text, options) if options else short.text
    if not answer:
        raise ValueError("has an empty answer: every problem needs one")
    if answer.casefold() in _NO_ANSWER and not (options and answer in options):
        raise ValueError(
            f"has the answer {answer!r}, which means that there is no answer; "
            "every problem needs one"
        )
    if len(answer) > LONGEST or (len(answer.split()) > WORDIEST and not options):
        raise ValueError(
            f"has a solution text as its answer, {answer[:60]!r} …, and no short answer in it"
            " (a box, ####, or 'The answer is'): no response could match it; give the answer alone"
        )
    return Gold(answer, short.said)


def _plain(value: Any, options: Sequence[str] | None) -> str:
    """Return a stored value as text."""
    if isinstance(value, list | tuple | np.ndarray):
        value = _only(list(value))
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, Mapping | bool | bytes | set):
        raise ValueError(
            f"has an answer that is neither text nor a number but {_kind(value)}: "
            f"{str(value)[:60]}; write the answer itself"
        )
    if isinstance(value, int) and options:
        _refuse_two_readings(value, options)
    if isinstance(value, float | Decimal):
        plain = str(value) if isinstance(value, Decimal) else repr(value)
        return _without_bare_fraction(_denoised(_expanded(plain)))
    text = str(value).strip()
    return _denoised(text) if _DECIMAL.fullmatch(text) else text


def _only(items: list[Any]) -> Any:
    distinct = [item for i, item in enumerate(items) if item not in items[:i]]
    if len(distinct) == 1:
        return distinct[0]
    raise ValueError(
        f"has {'an empty list' if not items else f'a list of {len(items)} answers'} as its answer:"
        f" {str(items)[:60]}; write the right one, or several as one text"
    )


def _kind(value: Any) -> str:
    names = {bool: "a bool", bytes: "bytes", set: "a set"}
    return names.get(type(value), "a dict")


def _refuse_two_readings(value: int, options: Sequence[str]) -> None:
    """Raise ValueError if a whole number may be both an option and the position of another."""
    if str(value) not in options:
        return
    place = options[value] if 0 <= value < len(options) else None
    if place is not None and place != str(value):
        raise ValueError(
            f"has the answer {value} with the options {', '.join(options)}: that is the option"
            f" {value}, or the place of {place} counted from 0; set env.columns="
            "{answer_index: answer} for places (answer_number from 1), or write options as text"
        )


def _denoised(text: str) -> str:
    """Return a decimal without the rounding noise of a float: 0.10000000149 becomes 0.1."""
    value = float(text)
    digits = sum(c.isdigit() for c in text.lstrip("+-0."))
    if "e" in text.lower() or not math.isfinite(value) or digits < 10:
        return text
    if short := _as_float32(text, value):
        return short
    rounded = f"{value:.12g}"
    noise = digits >= 16 and "e" not in rounded and len(rounded) <= 10
    return rounded if noise else text


def _as_float32(text: str, value: float) -> str | None:
    """Return the short decimal that float32 stores as this value; None if this may be chance."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
    if not np.isfinite(single):
        return None
    places = len(text.partition(".")[2])
    exact = format(Decimal(float(single)), f".{places}f")
    short = _without_bare_fraction(format(Decimal(str(single)), "f"))
    significant = len(short.replace(".", "").lstrip("-0"))
    same = exact == format(Decimal(text), f".{places}f")
    return short if same and significant <= 7 and len(short) < len(text) else None


def _expanded(text: str) -> str:
    """Return 1e-05 as 0.00001; numbers very far from 1 are returned unchanged."""
    if "e" not in text.lower() or abs(Decimal(text).adjusted()) > 15:
        return text
    return format(Decimal(text), "f")


def _without_bare_fraction(text: str) -> str:
    """Return 3.0 as 3; 7.50 is returned unchanged."""
    whole, point, part = text.partition(".")
    return whole if point and not part.strip("0") else text


# ---- out of a longer text ----


def _short(text: str) -> Gold:
    """Return the answer that a solution text contains, and the kind of that text.

    A text that is only an answer is returned unchanged.
    """
    if tagged := _TAGGED.findall(text):
        inner = _short(tagged[-1].strip())
        alone = _TAGGED.fullmatch(text.strip()) is not None
        return Gold(inner.text, inner.said or ("" if alone else "a solution with answer tags"))
    if m := _HASHES.search(text):
        return Gold(m[1].strip().rstrip("."), "a solution that ends with ####")
    box = last_box(text)
    if box is not None and box.strip():
        alone = text.strip().rstrip(".").strip("$ ") == f"\\boxed{{{box}}}"
        _refuse_several_boxes(text)
        return Gold(box.strip(), "" if alone else "a solution with a box")
    if m := _SENTENCE.search(text):
        return Gold(_undressed(m["answer"]), "a sentence that gives the answer")
    return Gold(text, "")


def _refuse_several_boxes(text: str) -> None:
    neighbours = re.findall(r"\\boxed\{([^{}]*)\}(?:\s|\$|,|or|and)*(?=\\boxed\{([^{}]*)\})", text)
    if any(a.strip() != b.strip() for a, b in neighbours):
        raise ValueError(f"has several boxes side by side in its answer: {text[-80:]!r}; write one")


def _undressed(text: str) -> str:
    """Return the text without the bold signs, quotes and dollar signs around it."""
    stripped = text.strip().strip("*").strip()
    for left, right in (('"', '"'), ("$", "$"), ("\\(", "\\)")):
        if len(stripped) > 2 and stripped.startswith(left) and stripped.endswith(right):
            stripped = stripped[len(left) : -len(right)].strip()
    return stripped


def _of_options(text: str, options: Sequence[str]) -> str:
    """Return the gold answer of a multiple-choice question: an option's letter, or its text."""
    if text in options:
        return text
    letter = gold_letter(text) if len(text) <= 8 else None
    if letter is None and (m := _LETTER_AND_TEXT.fullmatch(text)):
        letter = m[1]
        _refuse_contradiction(m, options)
    if letter is None:
        _refuse_none_of(text, options)
        return text
    if multiple_choice.LETTERS.index(letter) >= len(options):
        raise ValueError(f"has the answer {text!r} but only {len(options)} options")
    return letter


def _refuse_contradiction(m: re.Match[str], options: Sequence[str]) -> None:
    place = multiple_choice.LETTERS.index(m[1])
    if place < len(options) and _bare(m[2]) != _bare(options[place]):
        raise ValueError(
            f"has the answer {m[0][:40]!r}, but its option {m[1]} is {options[place][:40]!r}"
        )


def _refuse_none_of(text: str, options: Sequence[str]) -> None:
    """Raise ValueError if the gold answer matches none of the options."""
    if any(verify(gold_response(option), text).correct for option in options):
        return
    place = (
        "; if it is the place of one, set env.columns={answer_index: answer} (counted from 0) or"
        " answer_number (from 1)"
    )
    raise ValueError(
        f"has the answer {text[:40]!r}, which is not one of its {len(options)} options"
        f" ({', '.join(options)[:80]}){place if text.isdecimal() else ''}"
    )


def _bare(text: str) -> str:
    return re.sub(r"[\s$.]+", "", text).casefold()
