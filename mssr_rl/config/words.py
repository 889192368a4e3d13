"""The arguments of a verb, `key=value`, are declared once: as the fields of a frozen dataclass.

    @dataclass(frozen=True, kw_only=True)
    class Words:
        env: str = option("the environment that is checked")
        limit: int | None = option("check only this many problems; null: all", None, COUNT)
        options: Mapping[str, str] = options_of("env")

`parse_words` returns such an object, or raises a `UserError` naming the wrong argument. `helptext`
prints the same fields. `mssr_rl.typed` checks types and bounds, `overrides` reads the values.
"""

from collections.abc import Iterable, Sequence
from dataclasses import MISSING, Field, field, fields
from typing import Any, Literal, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

from mssr_rl import typed
from mssr_rl.config import keys, overrides
from mssr_rl.errors import UserError

W = TypeVar("W")

FILE, OTHERS = "FILE", "*"  # the role of a field; any other role is a prefix such as "env."


def file_name(doc: str, default: Any = MISSING) -> Any:
    """Declare the argument that has no key: the name of a file."""
    return typed.option(doc, default, role=FILE)


def called(name: str, doc: str, default: Any = MISSING, bound: typed.Bound | None = None) -> Any:
    """Declare an argument whose name cannot be a Python identifier, such as "cluster.address"."""
    return typed.option(doc, default, bound, name=name)


def options_of(group: str) -> Any:
    """Declare a field that collects all `group.option=value` arguments, as text.

    Their types depend on the chosen algorithm or environment, so they are checked later.
    """
    return _many(f"{group}.", f"an option of {group}=NAME; --help {group}=NAME lists them")


def others(doc: str) -> Any:
    """Declare a field that collects all arguments that no other field declares, as text."""
    return _many(OTHERS, doc)


class Word(NamedTuple):
    """One declared argument."""

    name: str  # as the user types it: "limit", "FILE", "env.option"
    field: str  # the name of the dataclass field
    kind: Any
    default: Any  # MISSING: the argument is required
    doc: str
    bound: typed.Bound | None
    role: str | None

    @property
    def label(self) -> str:
        """The argument as help shows it where a value is required."""
        if self.role == FILE:
            few = get_origin(self.kind) is Literal
            return "|".join(get_args(self.kind)) if few else FILE
        return f"{self.name}=..."

    @property
    def needed(self) -> bool:
        """Whether the argument is required."""
        return self.default is MISSING and self.role in (None, FILE)


def declared(kind: type) -> tuple[Word, ...]:
    """Return the arguments that a dataclass declares, in their order."""
    kinds = get_type_hints(kind)
    return tuple(_word(one, kinds[one.name]) for one in fields(kind))


def parse_words(kind: type[W], arguments: Sequence[str]) -> W:
    """Return the dataclass `kind`, filled from the arguments.

    Raises:
        UserError: an argument is unknown, missing, given twice, of the wrong type or out of bounds.
    """
    known = declared(kind)
    named, texts = _files(arguments, any(word.role == FILE for word in known))
    given = overrides.parse(texts)
    values: dict[str, Any] = {}
    for word in known:
        values |= _taken(word, given, named)
    if given:
        raise unknown(next(iter(given)), known)
    missing = next((word for word in known if word.needed and word.field not in values), None)
    if missing:
        label = missing.label.removesuffix("...")
        name = "the name of a file" if label == FILE else label
        raise UserError(f"{name} is missing: {missing.doc}")
    return kind(**values)


def unknown(key: str, known: Iterable[Word]) -> UserError:
    """Return the error for an argument that is not declared, with a suggestion."""
    names = [word.name for word in known if word.role in (None, OTHERS)]
    if not names:
        return UserError(f"unknown argument {key}: this command takes no arguments")
    close = typed.closest(key, names) or keys.from_habit(key)
    if close in names:
        return UserError(f"unknown argument {key}; did you mean {close}?")
    return UserError(f"unknown argument {key}; known here: {', '.join(names)}")


def _word(one: Field[Any], kind: Any) -> Word:
    about, role = one.metadata, one.metadata.get("role")
    name = about.get("name", one.name)
    if role is not None:
        name = {FILE: FILE, OTHERS: "key"}.get(role, f"{role}option")
    return Word(name, one.name, kind, one.default, about["doc"], about.get("bound"), role)


def _taken(word: Word, given: dict[str, str], named: list[str]) -> dict[str, Any]:
    """Return {field: value} of one argument, and remove its entries from `given`."""
    if word.role is None:
        if word.name not in given:
            return {}
        value = overrides.read_value(word.name, given.pop(word.name), word.kind)
        return {word.field: typed.checked(value, word.kind, word.name, word.bound)}
    if word.role == FILE:
        if not named:
            return {}
        return {word.field: typed.checked(named[0], word.kind, word.field, None)}
    mine = [key for key in given if word.role == OTHERS or key.startswith(word.role)]
    return {word.field: {key: given.pop(key) for key in mine}}


def _files(arguments: Sequence[str], wanted: bool) -> tuple[list[str], list[str]]:
    named = [a for a in arguments if wanted and "=" not in a and (a == "-" or a[:1] != "-")]
    if len(named) > 1:
        raise UserError(f"this command takes one file at a time, but got {' and '.join(named)}")
    return named, [argument for argument in arguments if argument not in named]


def _many(role: str, doc: str) -> Any:
    return field(default_factory=dict, metadata={"doc": doc, "role": role})
