"""Text a model wrote, made safe to look at, and numbers made easy to read. Pure.

Escaping HTML is the template's work (autoescape). This module deals with what escaping leaves:
characters that cannot be encoded, that reverse the line, or that nobody can see, and sheer length.
"""

import unicodedata
from math import isfinite
from typing import NamedTuple

from markupsafe import Markup, escape

HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
KEPT = frozenset("\n\t\u200c\u200d")  # the two joiners are part of ordinary spelling
END_OF_THOUGHT = "</think>"


class Excerpt(NamedTuple):
    """The part of a text that is shown, and how many characters were left out."""

    text: str
    cut: int


class ResponseParts(NamedTuple):
    """A response taken apart: what the model said to itself, and what it said to us."""

    reasoning: Excerpt
    answer: Excerpt


def trusted(ours: str) -> Markup:
    """HTML that we wrote ourselves: the only way past the templates' escaping."""
    return Markup(ours)  # noqa: S704 - callers escape whatever they did not write


def visible(char: str) -> str:
    """The character itself, or its code point in brackets when it cannot be seen or encoded."""
    if char in KEPT or unicodedata.category(char) not in HIDDEN:
        return char
    return f"⟨U+{ord(char):04X}⟩"


def seen(text: str) -> str:
    """The text with every character visible, as pages show it."""
    return text if text.isprintable() else "".join(map(visible, text))


def escaped(text: object) -> Markup:
    """Any text as HTML shows it."""
    return escape(seen(str(text)))


def excerpt(text: str, limit: int) -> Excerpt:
    """At most `limit` visible characters from the start of `text`."""
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
    """Split at the end of the reasoning; an unfinished thought is all reasoning."""
    reasoning, end, answer = response.partition(END_OF_THOUGHT)
    if not end and not response.lstrip().startswith("<think>"):
        reasoning, answer = "", response
    thought = reasoning.strip().removeprefix("<think>").strip()
    return ResponseParts(excerpt(thought, limit), excerpt(answer.strip(), limit))


def number(value: object) -> str:
    """A figure for a table: thousands separated, four significant digits, words unchanged."""
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
    """0.4785 -> "47.9 %", with a space that does not break."""
    return "–" if share is None else f"{100 * share:.1f}\u00a0%"


def points(change: float | None) -> str:
    """0.098 -> "+9.8", in percentage points, with a true minus sign."""
    return "–" if change is None else f"{100 * change:+.1f}".replace("-", "−")


def duration(seconds: float) -> str:
    """83 -> "1 min 23 s"."""
    if seconds < 100:
        return f"{seconds:.1f}\u00a0s" if seconds < 10 else f"{seconds:.0f}\u00a0s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}\u00a0h {minutes}\u00a0min" if hours else f"{minutes}\u00a0min {rest}\u00a0s"
