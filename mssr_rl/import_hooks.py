"""Changes modules of other packages when they are imported.

Declare a `Hook` and install it. Nothing is edited on disk, and a module that is never imported
costs nothing. This module imports only the standard library, because `engine.openrlhf` loads it at
the start of every process of a cluster.
"""

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Hook(NamedTuple):
    """A change that is made to one module when it is imported."""

    module: str  # name of the module
    written_for: tuple[str, str]  # distribution, version
    reason: str
    before: Callable[[], None] | None = None  # runs before the module's own code
    after: Callable[[Any], None] | None = None  # runs after it, on the module


def install(hooks: Iterable[Hook]) -> None:
    """Change the hooked modules when they are imported. A second call has no further effect.

    Raises:
        RuntimeError: a module was already imported without its hook.
    """
    new = [hook for hook in hooks if hook.module not in _finder.hooks]
    late = [hook.module for hook in new if hook.module in sys.modules]
    if late:
        raise RuntimeError(f"imported before its hook was installed: {', '.join(late)}")
    _finder.hooks |= {hook.module: hook for hook in new}
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


class _Loader(importlib.abc.Loader):
    """Wraps the module's own loader, and runs the hook when the module is executed."""

    def __init__(self, inner: Any, hook: Hook) -> None:
        self.inner, self.hook = inner, hook

    def create_module(self, spec: Any) -> Any:
        return self.inner.create_module(spec)

    def exec_module(self, module: Any) -> None:
        if self.hook.before:
            self.hook.before()
        self.inner.exec_module(module)
        if self.hook.after:
            self.hook.after(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds hooked modules with the normal finders, and wraps their loaders."""

    def __init__(self) -> None:
        self.hooks: dict[str, Hook] = {}
        self.searching: set[str] = set()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name not in self.hooks or name in self.searching:
            return None
        self.searching.add(name)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self.searching.discard(name)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self.hooks[name])
        return spec


_finder = _Finder()
