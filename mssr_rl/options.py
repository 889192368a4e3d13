"""Reads the options of a factory from its keyword-only signature, as a flat table.

`registry` keeps one such table per name; `config` and `--help` use it. Nothing is declared twice:
name, type and default come from the signature, the help text from `Args:` in the docstring.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple, get_type_hints

from mssr_rl.errors import UserError
from mssr_rl.typed import convert


class Option(NamedTuple):
    """One option of a factory."""

    name: str
    path: tuple[str, ...]  # its place in the signature: ("gamma",) or ("tracker", "eta_min")
    default: Any
    annotation: Any  # a type, a union or a Literal
    doc: str  # one line of help; empty if the docstring has none


def require(holds: bool, name: str, value: object, says: str) -> None:
    """Raise `UserError` unless `holds`; `says` completes the message "name=value must be ..."."""
    if not holds:
        raise UserError(f"{name}={'null' if value is None else value} must be {says}")


def options_of(factory: Callable[..., Any]) -> dict[str, Option]:
    """Return {name: option} of a factory.

    A parameter whose default is a frozen dataclass gives one option per field.

    Raises:
        UserError: a parameter is not keyword-only, has no default, or two options share a name.
    """
    options: dict[str, Option] = {}
    for option in _parameters(factory):
        if option.name in options:
            one, two = (".".join(o.path) for o in (options[option.name], option))
            raise UserError(
                f"{_called(factory)}: {one} and {two} would both be the option {option.name!r}; "
                "rename one"
            )
        options[option.name] = option
    return options


def arguments(
    factory: Callable[..., Any], options: Mapping[str, Option], values: Mapping[str, object]
) -> dict[str, Any]:
    """Return keyword arguments for the factory from flat values; other options keep defaults.

    Raises:
        UserError: a value has the wrong type, or a dataclass refuses it.
    """
    nested: dict[str, Any] = {}
    for name, value in values.items():
        _put(nested, options[name].path, convert(value, options[name].annotation, name))
    parameters = inspect.signature(factory).parameters
    return {name: _merged(parameters[name].default, value) for name, value in nested.items()}


def _parameters(factory: Callable[..., Any]) -> Iterator[Option]:
    hints = _hints(factory)
    docs = _docs(factory)
    for name, parameter in inspect.signature(factory).parameters.items():
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise UserError(
                f"{_called(factory)}: {name!r} must be keyword-only; write def "
                f"{factory.__name__}(*, ...), because the signature is the config"
            )
        if parameter.default is inspect.Parameter.empty:
            raise UserError(
                f"{_called(factory)}: option {name!r} needs a default, so that the name alone works"
            )
        default = parameter.default
        option = Option(name, (name,), default, _type(hints, name, default), docs.get(name, ""))
        yield from _flat(option)


def _flat(option: Option) -> Iterator[Option]:
    base = option.default
    if not _is_section(base):
        yield option
        return
    if not base.__dataclass_params__.frozen:
        raise UserError(f"option {option.name!r}: {type(base).__name__} must be a frozen dataclass")
    hints, docs = get_type_hints(type(base)), _docs(type(base))
    for field in fields(base):
        name, default = field.name, getattr(base, field.name)
        yield from _flat(
            Option(name, (*option.path, name), default, hints[name], docs.get(name, ""))
        )


def _hints(factory: Callable[..., Any]) -> dict[str, Any]:
    target = factory.__init__ if inspect.isclass(factory) else factory
    try:
        return get_type_hints(target)
    except NameError as error:
        raise UserError(f"{_called(factory)}: an annotation cannot be read: {error}") from error


def _type(hints: Mapping[str, Any], name: str, default: object) -> Any:
    if name in hints:
        return hints[name]
    return Any if default is None else type(default)


def _called(factory: Callable[..., Any]) -> str:
    return f"{factory.__module__}.{factory.__qualname__}"


def _docs(documented: object) -> dict[str, str]:
    """Return {name: text} of the `Args:` in a docstring; for a class also of its base classes."""
    if not inspect.isclass(documented):
        return _args_of(inspect.getdoc(documented) or "")
    docs: dict[str, str] = {}
    for cls in reversed(documented.__mro__):  # the class itself comes last and overrides its bases
        docs |= _args_of(inspect.cleandoc(vars(cls).get("__doc__") or ""))
    return docs


def _args_of(doc: str) -> dict[str, str]:
    _, _, section = doc.partition("Args:\n")
    docs: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if not line.startswith("    "):
            break
        if line.startswith("     "):
            docs[name] += f" {line.strip()}"
        else:
            name, _, text = line.strip().partition(":")
            docs[name] = text.strip()
    return docs


def _put(nested: dict[str, Any], path: tuple[str, ...], value: object) -> None:
    for name in path[:-1]:
        nested = nested.setdefault(name, {})
    nested[path[-1]] = value


def _merged(base: Any, value: Any) -> Any:
    if not _is_section(base):
        return value
    return replace(base, **{n: _merged(getattr(base, n), v) for n, v in value.items()})


def _is_section(default: object) -> bool:
    return is_dataclass(default) and not isinstance(default, type)
