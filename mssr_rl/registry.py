"""Registries: they map a name in a config, such as algo=grpo, to the factory that builds it.

The keyword-only signature of a factory is its config (`options` reads it). Names come from three
places: the modules of this package, `plugins=[...]`, and installed packages with an entry point.
Entry points are imported when a name is first looked up, so that every process knows all names.
"""

import inspect
import pkgutil
from collections.abc import Callable, Iterable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, NamedTuple, TypeVar

from mssr_rl.errors import UserError
from mssr_rl.options import Option, arguments, options_of
from mssr_rl.typed import closest

__all__ = ["Option", "Registry", "UnknownName", "UnknownOption"]

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


class UnknownName(UserError):
    """Raised if the config names something that is not registered."""


class UnknownOption(UserError):
    """Raised if the config sets an option that the chosen factory does not have."""


class _Entry(NamedTuple):
    factory: Callable[..., Any]
    options: dict[str, Option]


class Registry(Generic[T]):
    """Maps names to factories of one kind, such as algorithms or environments."""

    def __init__(self, kind: str, entry_point_group: str | None = None) -> None:
        self.kind = kind
        self._entries: dict[str, _Entry] = {}
        self._groups_to_load = [entry_point_group] if entry_point_group else []

    def register(self, name: str) -> Callable[[F], F]:
        """Return a decorator that registers a factory as `name` and returns it unchanged.

        Raises:
            UserError: the name is taken, or the signature cannot be a config.
        """

        def add(factory: F) -> F:
            if name in self._entries:
                raise UserError(
                    f"{self.kind} {name!r} of {factory.__module__} is already registered by "
                    f"{self._entries[name].factory.__module__}; choose another name"
                )
            self._entries[name] = _Entry(factory, options_of(factory))
            return factory

        return add

    def make(self, name: str, /, **options: object) -> T:
        """Build the thing that is registered as `name`, with flat options.

        For example: `make("mssr", gamma=2.0, eta_min=0.9)`.

        Raises:
            UnknownName, UnknownOption: the message suggests the closest name.
            UserError: a value has the wrong type, or the factory refuses it.
        """
        entry = self._entry(name)
        for option in options:
            if option not in entry.options:
                raise UnknownOption(
                    f"{self.kind} {name!r} has no option {option!r}{_hint(option, entry.options)}"
                )
        made: T = entry.factory(**arguments(entry.factory, entry.options, options))
        return made

    def names(self) -> list[str]:
        """Return all registered names, in alphabetical order."""
        self._load_pending()
        return sorted(self._entries)

    def options(self, name: str) -> dict[str, Option]:
        """Return the options of `name`, in the order of its signature."""
        return dict(self._entry(name).options)

    def about(self, name: str) -> str:
        """Return the first line of a factory's docstring as help text; "" without a docstring."""
        return (inspect.getdoc(self._entry(name).factory) or "").partition("\n")[0]

    def name_of(self, factory: object) -> str | None:
        """Return the name of a registered factory; None if it is not registered."""
        named = (name for name, entry in self._entries.items() if entry.factory is factory)
        return next(named, None)

    def module(self, name: str) -> str:
        """Return the name of the module that defines the factory."""
        return str(self._entry(name).factory.__module__)

    def load_entry_points(self, group: str) -> None:
        """Import the entry points of installed packages in `group`; they register their names.

        Raises:
            UserError: one of these modules fails to import.
        """
        for offered in entry_points(group=group):
            _load(offered, self.kind)

    def _entry(self, name: str) -> _Entry:
        self._load_pending()
        if name not in self._entries:
            raise UnknownName(f"no {self.kind} {name!r}{_hint(name, self.names())}")
        return self._entries[name]

    def _load_pending(self) -> None:
        # The list is emptied before the import, because an imported module may look up names.
        while self._groups_to_load:
            self.load_entry_points(self._groups_to_load.pop())


def import_all(package: str, folders: Iterable[str]) -> None:
    """Import every module of a package, so that each of them registers its names."""
    for module in pkgutil.iter_modules(folders):
        import_module(f"{package}.{module.name}")


def _load(offered: EntryPoint, kind: str) -> None:
    try:
        offered.load()
    except UserError:
        raise
    except Exception as error:  # code of another package may raise anything
        package = offered.dist.name if offered.dist else offered.name
        raise UserError(
            f"the installed package {package} offers {kind}s in {offered.value}, which fails with "
            f"{type(error).__name__}: {error}; repair or uninstall it"
        ) from error


def _hint(word: str, known: Iterable[str]) -> str:
    words = list(known)
    close = closest(word, words)
    if close:
        return f"; did you mean {close!r}?"
    return f"; choose from {', '.join(words)}" if words else "; it has none"
