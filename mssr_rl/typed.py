"""Turns plain values into typed, frozen dataclasses, and refuses values of the wrong type.

`compose` calls it with the values of YAML files and the command line. Each error is one sentence
that names the key as the user wrote it.
"""

import math
import types
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, field, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from mssr_rl.errors import UserError

T = TypeVar("T")

WORDS: dict[object, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    type(None): "null",
}


class Bound(NamedTuple):
    """The allowed range of a number, and its description in `says`."""

    says: str
    low: float
    high: float = float("inf")
    low_counts: bool = True  # whether `low` itself is allowed

    def holds(self, number: float) -> bool:
        """Return whether the number is inside the range."""
        above = number >= self.low if self.low_counts else number > self.low
        return above and number <= self.high


COUNT = Bound("at least 1", 1)
COUNT_OR_NONE_AT_ALL = Bound("at least 0", 0)
POSITIVE = Bound("above 0", 0, low_counts=False)
SHARE = Bound("above 0 and at most 1", 0, 1, low_counts=False)
DECAY = Bound("at least 0 and below 1", 0, 1 - 1e-12)
SEED = Bound("at least 0 and below 2^63", 0, 2**63 - 1)


def option(doc: str, default: Any = MISSING, bound: Bound | None = None, **about: Any) -> Any:
    """Return a dataclass field with a help text, an allowed range, and more facts about it."""
    metadata = {"doc": doc, "bound": bound, **about}
    return field(default=default, metadata=metadata)


def build(cls: type[T], values: Mapping[str, Any], path: str = "") -> T:
    """Build a frozen dataclass from a plain mapping.

    Raises `UserError` for unknown, missing and wrong entries. `path` is the prefix of their names.
    """
    kinds = get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise UserError(unknown(f"{path}{name}", [f"{path}{other}" for other in known]))
    built = {
        n: _entry(f, kinds[n], values, path) for n, f in known.items() if _given(f, values, path)
    }
    return cls(**built)


def convert(value: object, kind: object, key: str) -> Any:
    """Return `value` converted to the type `kind`; raise `UserError` if it does not fit.

    `kind` is bool, int, float, str, None, Literal, tuple, list, or a union of these. The message
    names the value by `key`.
    """
    if kind is Any:
        return value
    for one in alternatives(kind):
        with suppress(msgspec.ValidationError):
            converted = msgspec.convert(value, one)
            if _finite(converted):
                return converted
    raise UserError(f"{key}={show(value)} is not {describe(kind)}")


def checked(value: object, kind: object, key: str, bound: Bound | None) -> Any:
    """Convert a value as `convert` does, and raise `UserError` if it is outside of its bound."""
    converted = convert(value, kind, key)
    if bound and converted is not None and not bound.holds(converted):
        raise UserError(f"{key}={show(value)} must be {bound.says}")
    return converted


def alternatives(kind: object) -> tuple[object, ...]:
    """Return the members of a union type, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def takes_text(kind: object) -> bool:
    """Return whether any text is a value of this type."""
    return str in alternatives(kind)


def lists_texts(kind: object) -> bool:
    """Return whether a list of texts is a value of this type."""
    lists = [one for one in alternatives(kind) if get_origin(one) is tuple]
    return any(get_args(one)[0] is str or get_origin(get_args(one)[0]) is Literal for one in lists)


def describe(kind: object) -> str:
    """Return a description of a type for users, such as "a whole number or null"."""
    return " or ".join(_describe_one(one) for one in alternatives(kind))


def show(value: object) -> str:
    """Return a value as it is written on the command line."""
    if isinstance(value, list | tuple):
        return "[" + ",".join(show(item) for item in value) + "]"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def unknown(key: str, known: Iterable[str]) -> str:
    """Return the message about an unknown key, with the closest known key."""
    keys = list(known)
    close = closest(key, keys)
    return f"unknown key {key}" + (
        f"; did you mean {close}?" if close else f"; known: {', '.join(keys)}"
    )


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known key that is closest to `word`, or None.

    The last part of a dotted key is enough: "lr" gives "train.lr".
    """
    keys = list(known)
    by_ending = sorted((w for w in keys if f".{w}".endswith(f".{word}")), key=len)
    similar = get_close_matches(word, keys, n=3, cutoff=0.72)
    # Two letters in each other's place are the likeliest slip: gpro is grpo rather than gspo.
    swapped = [key for key in similar if sorted(key) == sorted(word)]
    return next(iter(by_ending or swapped or similar), None)


def dotted(
    tree: Mapping[str, Any], prefix: str = "", between: str = "."
) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of the leaves of nested mappings.

    The name joins all keys on the way to the leaf with `between`, such as "train.lr".
    """
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from dotted(value, f"{prefix}{key}{between}", between)
        else:
            yield f"{prefix}{key}", value


def _given(entry: Field[Any], values: Mapping[str, Any], path: str) -> bool:
    if entry.name in values:
        return True
    if entry.default is MISSING and entry.default_factory is MISSING:
        raise UserError(
            f"{path}{entry.name} is not set: set it in the recipe or on the command line"
        )
    return False


def _entry(entry: Field[Any], kind: Any, values: Mapping[str, Any], path: str) -> Any:
    key, value = f"{path}{entry.name}", values[entry.name]
    if is_dataclass(kind):
        if isinstance(value, kind):  # type: ignore[arg-type]
            return value
        if not isinstance(value, Mapping):
            raise UserError(f"{key}={show(value)}: {key} is a section; write {key}.option=value")
        return build(kind, value, f"{key}.")  # type: ignore[arg-type]
    return checked(value, kind, key, entry.metadata.get("bound"))


def _finite(value: object) -> bool:
    items = value if isinstance(value, list | tuple) else (value,)
    return all(math.isfinite(item) for item in items if isinstance(item, float))


def _describe_one(kind: object) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(show(member) for member in get_args(kind))
    if get_origin(kind) in (tuple, list):
        member = get_args(kind)[0]
        few = get_origin(member) is Literal
        return f"a list of {', '.join(get_args(member))}" if few else "a list such as [a,b]"
    return WORDS.get(kind, str(kind))
