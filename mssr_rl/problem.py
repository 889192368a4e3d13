"""A verifiable problem: the prompt for the policy, and the gold answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Example(NamedTuple):
    """A solved example, text only, that the prompt shows before the problem."""

    prompt: str
    response: str


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One row of a data set, ready for the policy."""

    key: str  # stable across runs; the value tracker, the splits and the reports use it
    prompt: str  # "<image>" marks the place of a picture, one tag per picture
    answer: str  # the gold answer
    images: tuple[bytes, ...] = field(default=(), repr=False)  # encoded PNG or JPEG
    choices: tuple[str, ...] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)  # e.g. family, level: groups in reports
    extras: Mapping[str, str] = field(default_factory=dict)  # other inputs of a scoring rule
    examples: tuple[Example, ...] = field(default=(), repr=False)  # turns before the question


def unusable(problem: Any) -> str | None:
    """Return the reason why `problem` cannot be used as a problem, as a clause; None if it can.

    Pictures are not decoded.
    """
    if not isinstance(problem, Problem):
        return f"is {type(problem).__name__}, no Problem"
    texts: dict[str, Any] = {
        "key": problem.key,
        "prompt": problem.prompt,
        "answer": problem.answer,
        **{f"choice {i}": choice for i, choice in enumerate(problem.choices or ())},
        **{f"tag {name!r}": value for name, value in problem.tags.items()},
    }
    for name, text in texts.items():
        if (fault := text_fault(text, empty=name not in ("key", "prompt"))) is not None:
            return f"has a {name} that {fault}"
    if not all(isinstance(content, bytes) for content in problem.images):
        return "has images that are not the bytes of encoded pictures"
    return None


def text_fault(text: Any, *, empty: bool) -> str | None:
    """Return the reason why `text` cannot be written to a text file; None if it can.

    `empty` says whether an empty text is allowed.
    """
    if not isinstance(text, str):
        return f"is {type(text).__name__}, not text"
    if not empty and not text.strip():
        return "is empty"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        lone = f"U+{ord(text[error.start]):04X} at character {error.start}"
        return f"holds half of a surrogate pair ({lone}), which no file can hold as text"
    return None
