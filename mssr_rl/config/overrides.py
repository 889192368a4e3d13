"""Split `key=value` arguments and read their values.

This module knows the form of arguments; `compose` knows which keys exist. Hydra's grammar allows
more (`+key`, `~key`, braces, sweeps). This module refuses the rest of it with a clear sentence.
"""

import re
from collections.abc import Iterable
from typing import Any

from mssr_rl.errors import UserError
from mssr_rl.typed import alternatives, lists_texts, takes_text

_MAPPING = re.compile(r"\{[^{}]*:[^{}]*\}")  # allowed: env.columns takes such a mapping as text


def parse(words: Iterable[str]) -> dict[str, str]:
    """Return {key: text} of the arguments, in the order in which they were typed.

    Raises UserError for an argument that is not `key=value`, or for a key that is given twice.
    """
    texts: dict[str, str] = {}
    for word in words:
        key, value = _split(word)
        if key in texts:
            raise UserError(f"{key} is given twice, as {texts[key]} and as {value}; leave one out")
        texts[key] = value
    return texts


def read_value(key: str, text: str, kind: object) -> Any:
    """Return the value that `text` stands for.

    If `kind` allows any text, this is the text itself, or None for "null" if `kind` allows None.
    `listed` reads a list of names, and Hydra parses everything else.

    Raises UserError if the text cannot be parsed, or holds several values.
    """
    if takes_text(kind):
        return None if text == "null" and type(None) in alternatives(kind) else text
    if lists_texts(kind):
        return listed(key, text)
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(f"{key}={text}")
    except HydraException as error:
        raise UserError(f"{key}={text} cannot be read; check its brackets and quotes") from error
    if override.is_sweep_override():
        raise UserError(f"{key}={text}: one run takes one value; a list is written [a,b]")
    return override.value()


def listed(key: str, text: str) -> tuple[str, ...]:
    """Return the names in a list. `a,b`, `[a, b]` and `['a','b']` are the same; `[]` is empty.

    Raises UserError if one bracket is missing, or if an item is empty.
    """
    inner = text.strip()
    if inner.startswith("[") != inner.endswith("]"):
        raise UserError(f"{key}={text} has only one bracket; a list is written [a,b]")
    inner = inner[1:-1].strip() if inner.startswith("[") else inner
    if not inner:
        return ()
    items = tuple(_unquoted(item.strip()) for item in inner.split(","))
    if not all(items):
        raise UserError(f"{key}={text} has nothing between two commas; a list is written [a,b]")
    return items


def _unquoted(item: str) -> str:
    quoted = len(item) > 1 and item[0] == item[-1] and item[0] in "'\""
    return item[1:-1].strip() if quoted else item


def _split(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if word.startswith("-"):
        raise UserError(f"{word} is not understood: options are written key=value, without dashes")
    if word.startswith(("+", "~")):
        raise UserError(
            f"{word} is not understood: write {word.lstrip('+~')}; keys cannot be added or removed"
        )
    if not equals:
        raise UserError(f"{word} is not key=value; --help shows the keys")
    if not key.strip() or key != key.strip():
        raise UserError(f"{word!r} has no key directly before the equals sign; write key=value")
    if not value.strip():
        raise UserError(f"{key}= has no value; write {key}=value, or {key}=null for none")
    if ("{" in word or "}" in word) and not _MAPPING.fullmatch(value.strip()):
        raise UserError(f"{word}: braces are not allowed; a list is written [a,b]")
    return key, value
