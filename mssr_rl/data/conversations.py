"""Questions that are kept as a conversation: messages, ShareGPT turns, chat parts, JSON in a text.

[{"role": "user", "content": "<image>How many?"}, {"role": "assistant", "content": "3"}]
[{"from": "human", "value": "..."}, {"from": "gpt", "value": "3"}]
[{"role": "user", "content": [{"type": "image", "image": ...}, {"type": "text", "text": ...}]}]
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from mssr_rl.prompts import IMAGE

_ROLES = {
    "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
    "model": "assistant", "bot": "assistant", "system": "system",
}  # fmt: skip


class Conversation(NamedTuple):
    """One question, its pictures, and its answer if the conversation has one."""

    question: str
    pictures: tuple[Any, ...]
    answer: str | None


class _Turn(NamedTuple):
    role: str
    text: str
    pictures: tuple[Any, ...]


def conversation(value: Any) -> Conversation | None:
    """The conversation in a cell, None if the cell holds something else.

    Raises:
        ValueError: there is not exactly one question in it.
    """
    messages = _messages(value)
    if messages is None:
        return None
    turns = [_turn(message) for message in messages]
    asked = [turn for turn in turns if turn.role == "user"]
    if len(asked) != 1:
        raise ValueError(
            f"is a conversation with {len(asked)} questions; one question makes a problem"
        )
    answers = [turn.text for turn in turns if turn.role == "assistant"]
    return Conversation(asked[0].text, asked[0].pictures, answers[-1] if answers else None)


def _messages(value: Any) -> list[Mapping[str, Any]] | None:
    if isinstance(value, str) and value.lstrip().startswith(("[{", "[ {", '{"')):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, Mapping):
        value = value.get("messages", [value])
    if not isinstance(value, list | tuple) or not value:
        return None
    good = all(isinstance(m, Mapping) and ("role" in m or "from" in m) for m in value)
    return list(value) if good else None


def _turn(message: Mapping[str, Any]) -> _Turn:
    role = str(message.get("role") or message.get("from")).lower()
    content = message.get("content", message.get("value"))
    if isinstance(content, str) or content is None:
        return _Turn(_ROLES.get(role, role), content or "", ())
    parts = [content] if isinstance(content, Mapping) else list(content)
    texts, pictures = [], []
    for part in parts:
        text, picture = _part(part)
        texts.append(text)
        pictures += [picture] * (picture is not None)
    return _Turn(_ROLES.get(role, role), "".join(texts), tuple(pictures))


def _part(part: Any) -> tuple[str, Any]:
    """The text of one part and its picture; a picture's place is a tag."""
    if isinstance(part, str):
        return part, None
    if not isinstance(part, Mapping):
        raise ValueError(f"has a message part that is no text and no picture: {str(part)[:60]}")
    if isinstance(part.get("text"), str):
        return part["text"], None
    for key in ("image", "image_url", "path", "url", "bytes"):
        found = part.get(key)
        if found is not None:
            return IMAGE, found.get("url") if isinstance(
                found, Mapping
            ) and "url" in found else found
    if part.get("type") in ("image", "image_url"):
        return IMAGE, None  # the picture is in a column of its own
    raise ValueError(f"has a message part that is no text and no picture: {str(part)[:60]}")
