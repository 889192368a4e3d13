"""Make a model's text safe to show, and format numbers. Pure functions.

The template escapes HTML (autoescape). This module handles other dangers: very long texts, and
characters that cannot be encoded, that reverse the direction of text, or that are invisible.
"""

import unicodedata
from math import isfinite
from typing import NamedTuple

from markupsafe import Markup, escape

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
KEPT = frozenset("\n\t\u200c\u200d")  # the two joiners are part of ordinary spelling
END_OF_THOUGHT = "</think>"


class Excerpt(NamedTuple):
    """The part of a text that is shown, and the number of characters that were cut off."""

    text: str
    cut: int


class ResponseParts(NamedTuple):
    """The two parts of a response: the reasoning and the answer."""

    reasoning: Excerpt
    answer: Excerpt


def trusted(ours: str) -> Markup:
    """Mark HTML that this package wrote as safe; the templates escape everything else."""
    return Markup(ours)  # noqa: S704 - callers escape whatever they did not write


def visible(char: str) -> str:
    """Return the character, or its code point in brackets if it is invisible or not encodable."""
    if char in KEPT or unicodedata.category(char) not in HIDDEN:
        return char
    return f"⟨U+{ord(char):04X}⟩"


def seen(text: str) -> str:
    """Return the text with every invisible character replaced by its code point."""
    return text if text.isprintable() else "".join(map(visible, text))


def escaped(text: object) -> Markup:
    """Return any value as HTML text, escaped and with every character visible."""
    return escape(seen(str(text)))


def excerpt(text: str, limit: int) -> Excerpt:
    """Return the first `limit` visible characters of `text`."""
    shown: list[str] = []
    room = limit
    for i, char in enumerate(text):
        piece = visible(char)
        room -= len(piece)
        if room < 0:
            return Excerpt("".join(shown), len(text) - i)
        shown.append(piece)
    return Excerpt("".join(shown), 0)


def take_apart(response: str, limit: int) -> ResponseParts:
    """Split a response into reasoning and answer, at the end of its think block.

    A response whose think block has no end is all reasoning.
    """
    reasoning, end, answer = response.partition(END_OF_THOUGHT)
    if not end and not response.lstrip().startswith("<think>"):
        reasoning, answer = "", response
    thought = reasoning.strip().removeprefix("<think>").strip()
    return ResponseParts(excerpt(thought, limit), excerpt(answer.strip(), limit))


def number(value: object) -> str:
    """Return a number as text with four significant digits and separated thousands.

    True and False become "yes" and "no". Other values are returned as text.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (int, float)):
        return str(value)
    if not isfinite(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"


def percent(share: float | None) -> str:
    """Return a share as text: 0.4785 gives "47.9 %", with a non-breaking space."""
    return "–" if share is None else f"{100 * share:.1f}\u00a0%"


def points(change: float | None) -> str:
    """Return a change in percentage points as text: 0.098 gives "+9.8"; the minus sign is "−"."""
    return "–" if change is None else f"{100 * change:+.1f}".replace("-", "−")


def duration(seconds: float) -> str:
    """Return a time in seconds as text: 83 gives "1 min 23 s"."""
    if seconds < 100:
        return f"{seconds:.1f}\u00a0s" if seconds < 10 else f"{seconds:.0f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}\u00a0h {minutes}\u00a0min" if hours else f"{minutes}\u00a0min {rest}\u00a0s"
