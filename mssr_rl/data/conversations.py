"""Read questions that are stored as a conversation: messages, ShareGPT turns, or JSON in a text.

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
    """A question with its pictures, and its answer if there is one."""

    question: str
    pictures: tuple[Any, ...]
    answer: str | None


class _Turn(NamedTuple):
    role: str
    text: str
    pictures: tuple[Any, ...]


def conversation(value: Any) -> Conversation | None:
    """Return the conversation in a cell; None if the cell holds something else.

    Raises:
        ValueError: the conversation has no question, or more than one.
    """
    messages = _messages(value)
    if messages is None:
        return None
    turns = [_turn(message) for message in messages]
    questions = [turn for turn in turns if turn.role == "user"]
    if len(questions) != 1:
        raise ValueError(
            f"is a conversation with {len(questions)} questions; one question makes a problem"
        )
    answers = [turn.text for turn in turns if turn.role == "assistant"]
    return Conversation(questions[0].text, questions[0].pictures, answers[-1] if answers else None)


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
    """Return the text and the picture of one part of a message.

    For a picture the text is an image tag.
    """
    if isinstance(part, str):
        return part, None
    if not isinstance(part, Mapping):
        raise ValueError(f"has a message part that is neither text nor a picture: {str(part)[:60]}")
    if isinstance(part.get("text"), str):
        return part["text"], None
    for key in ("image", "image_url", "path", "url", "bytes"):
        picture = part.get(key)
        if picture is not None:
            return IMAGE, picture.get("url") if isinstance(
                picture, Mapping
            ) and "url" in picture else picture
    if part.get("type") in ("image", "image_url"):
        return IMAGE, None  # the picture itself is in another column
    raise ValueError(f"has a message part that is neither text nor a picture: {str(part)[:60]}")
