"""The words of a command line, `key=value`, taken apart; the first place a typo can be caught.

Knows the shape of words and values and nothing about keys: `compose` does. Hydra's own grammar is
larger (`+key`, `~key`, braces, sweeps); what is left out of it is refused here, in a sentence.
"""

import re
from collections.abc import Iterable
from typing import Any

from mssr_rl.errors import UserError
from mssr_rl.typed import alternatives, lists_texts, takes_text

_MAPPING = re.compile(r"\{[^{}]*:[^{}]*\}")  # of an option that takes it as text: env.columns


def parse(words: Iterable[str]) -> dict[str, str]:
    """{key: value} in the order typed; values are still text."""
    found: dict[str, str] = {}
    for word in words:
        key, value = _split(word)
        if key in found:
            raise UserError(f"{key} is given twice, as {found[key]} and as {value}; leave one out")
        found[key] = value
    return found


def read_value(key: str, text: str, kind: object) -> Any:
    """What a text stands for: itself for a kind that takes any text, else by Hydra's grammar."""
    if takes_text(kind):
        return None if text == "null" and type(None) in alternatives(kind) else text
    if lists_texts(kind):
        return listed(key, text)
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        found = OverridesParser.create().parse_override(f"{key}={text}")
    except HydraException as error:
        raise UserError(f"{key}={text} cannot be read; check its brackets and quotes") from error
    if found.is_sweep_override():
        raise UserError(f"{key}={text}: one run takes one value; a list is written [a,b]")
    return found.value()


def listed(key: str, text: str) -> tuple[str, ...]:
    """A list of names: `a,b`, `[a, b]` and `['a','b']` are the same; `[]` is the empty one."""
    inner = text.strip()
    if inner.startswith("[") != inner.endswith("]"):
        raise UserError(f"{key}={text} has a bracket without its partner; a list is written [a,b]")
    inner = inner[1:-1].strip() if inner.startswith("[") else inner
    if not inner:
        return ()
    items = tuple(_unquoted(item.strip()) for item in inner.split(","))
    if not all(items):
        raise UserError(f"{key}={text} names nothing between two commas; a list is written [a,b]")
    return items


def _unquoted(item: str) -> str:
    quoted = len(item) > 1 and item[0] == item[-1] and item[0] in "'\""
    return item[1:-1].strip() if quoted else item


def _split(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if word.startswith("-"):
        raise UserError(f"{word} is not understood: options are written key=value, without dashes")
    if word.startswith(("+", "~")):
        raise UserError(f"{word} is not understood: write {word.lstrip('+~')}, every key is known")
    if not equals:
        raise UserError(f"{word} is not key=value; --help shows the keys")
    if not key.strip() or key != key.strip():
        raise UserError(f"{word!r} has no key right before the equals sign; write key=value")
    if not value.strip():
        raise UserError(f"{key}= has no value; write {key}=value, or {key}=null for none")
    if ("{" in word or "}" in word) and not _MAPPING.fullmatch(value.strip()):
        raise UserError(f"{word}: braces are not understood; a list is written [a,b]")
    return key, value
