"""The words of a command line, `key=value`, taken apart; the first place a typo can be caught.

Knows the shape of the words and nothing about keys: `compose` does. Hydra's own grammar is larger
(`+key`, `~key`, braces, sweeps); what we leave out of it is refused here, in a sentence.
"""

from collections.abc import Iterable

from mssr_rl.errors import UserError


def parse(words: Iterable[str]) -> dict[str, str]:
    """{key: value} in the order typed; values are still text."""
    found: dict[str, str] = {}
    for word in words:
        key, value = _split(word)
        if key in found:
            raise UserError(f"{key} is given twice, as {found[key]} and as {value}; leave one out")
        found[key] = value
    return found


def has_open_comma(value: str) -> bool:
    """Whether a comma stands outside every bracket and quote: what Hydra would take as a sweep."""
    depth, quote = 0, ""
    for letter in value:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "," and depth == 0:
            return True
        else:
            depth += (letter in "[(") - (letter in "])")
    return False


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
    if "{" in word or "}" in word:
        raise UserError(f"{word}: braces are not understood; a list is written [a,b]")
    return key, value
