"""Finds and hashes the files of plug-ins, so that a resumed run notices an edited plug-in.

A plug-in is a module of `plugins=[...]`, or a module outside of mssr_rl that registered the chosen
algorithm, its loss or the chosen environment. Its files are the module, and the modules beside it
that it imports. They are found by parsing import statements; nothing is imported. Of an installed
package only its own files count. Imports at run time, and data files that a plug-in reads, are not
found.
"""

import ast
import hashlib
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl.algos import algorithms
from mssr_rl.config import Config, registered_names

OURS = "mssr_rl"  # not a plug-in: `provenance` records its version and revision
MOST_FILES = 2000


class _ModulePlace(NamedTuple):
    """The location of a module; `root` is the folder where imports start."""

    root: Path
    only: str | None  # the one package under `root` that counts; None: all of them


def of(config: Config) -> dict[str, dict[str, Any]]:
    """Return {module: {"version": ..., "files": {name below its root: hash}}} of all plug-ins."""
    chosen = {"algo": config.algo.name, "env": config.env.name}
    makers = [registered_names.registry(group).module(name) for group, name in chosen.items()]
    makers.append(type(algorithms.make(config.algo.name, **config.algo.options).loss).__module__)
    others = [module for module in makers if module.partition(".")[0] != OURS]
    modules = dict.fromkeys((*config.plugins, *others))
    return {module: {"version": _version(module), "files": hashes(module)} for module in modules}


def hashes(module: str) -> dict[str, str]:
    """Return {name: hash} of a loaded module's files; empty if the module has no file."""
    first = _file_of(module)
    if first is None:
        return {}
    place = _place(module, first)
    paths = list(_reached(place, _own_files(first)))
    return {
        path.relative_to(place.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(paths)
    }


def digest(module: str) -> str | None:
    """Return a short hash of all files of a plug-in; None for a module of this package."""
    if module.partition(".")[0] == OURS:
        return None
    whole = "".join(f"{name} {file_hash}\n" for name, file_hash in hashes(module).items())
    return hashlib.blake2b(whole.encode(), digest_size=4).hexdigest()


def differences(old: Any, new: Any) -> list[str]:
    """Return the differences between two records that `of` made, one text per file."""
    was, now = (record if isinstance(record, dict) else {} for record in (old, new))
    return [
        *(f"{name} changed" for name in sorted(was.keys() & now.keys()) if was[name] != now[name]),
        *(f"{name} is gone" for name in sorted(was.keys() - now.keys())),
        *(f"{name} is new" for name in sorted(now.keys() - was.keys())),
    ]


def _version(module: str) -> str | None:
    try:
        return metadata.version(module.partition(".")[0])
    except (metadata.PackageNotFoundError, ValueError):
        return None


def _file_of(module: str) -> Path | None:
    name = getattr(sys.modules.get(module), "__file__", None)
    path = Path(name).absolute() if name else None  # absolute() does not follow links
    return path if path is not None and path.is_file() else None


def _place(module: str, file: Path) -> _ModulePlace:
    parts = 1 if module == "__main__" else len(module.split("."))
    up = parts if file.stem == "__init__" else parts - 1
    root = file.parents[min(up, len(file.parents) - 1)]
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    return _ModulePlace(root, module.partition(".")[0] if root.resolve() in installed else None)


def _own_files(file: Path) -> Sequence[Path]:
    """Return the files from which the search for imports starts.

    Of a package these are all files, because it may import its whole folder.
    """
    if file.stem != "__init__":
        return [file]
    inside = (path for path in sorted(file.parent.rglob("*.py")) if path.is_file())
    return [path for path, _ in zip(inside, range(MOST_FILES), strict=False)]


def _reached(place: _ModulePlace, begin: Iterable[Path]) -> set[Path]:
    """Return these files and all files below the root that they import, also indirectly."""
    reached, new = set[Path](), set(begin)
    while new and len(reached) < MOST_FILES:
        reached |= new
        imported = {path for file in new for path in _imported(place, file)}
        new = imported - reached
    return reached


def _imported(place: _ModulePlace, file: Path) -> Iterator[Path]:
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return  # the file is hashed anyway
    package = file.relative_to(place.root).parent.parts
    for node in ast.walk(tree):
        for name in _names(node, package):
            yield from _files(place, name)


def _names(node: ast.AST, package: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the modules that a statement may import, as paths from the root."""
    if isinstance(node, ast.Import):
        return [tuple(alias.name.split(".")) for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = package[: len(package) - node.level + 1] if node.level else ()
    base += tuple((node.module or "").split(".")) if node.module else ()
    return [base, *((*base, alias.name) for alias in node.names)]


def _files(place: _ModulePlace, name: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files of a module and of its parent packages, if they are below the root."""
    if not name or name[0] == OURS or place.only not in (None, name[0]):
        return
    for length in range(1, len(name) + 1):
        stem = place.root.joinpath(*name[:length])
        for path in (stem.with_name(f"{stem.name}.py"), stem / "__init__.py"):
            if path.is_file():
                yield path
