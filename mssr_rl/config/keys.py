"""All config keys, and a suggestion for a key that does not exist.

`schema` and `registry` declare the keys; `compose` checks the user's arguments against them.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from mssr_rl import nearby
from mssr_rl.config.schema import Config, Selection
from mssr_rl.errors import UserError
from mssr_rl.typed import closest

CONFIGS = Path(__file__).parents[1] / "configs"
REGISTERED = ("algo", "env")  # groups made from what is registered
FILES = ("model", "engine", "recipe")  # groups that are folders of configs/
GROUPS = (*REGISTERED, *FILES)


@cache
def fixed_kinds() -> Mapping[str, Any]:
    """Return {dotted key: type} of all keys except options of algorithms and environments."""
    return dict(_walk(Config, ""))


def check_keys(given: Iterable[str]) -> None:
    """Raise UserError for a key that is neither a group nor in `fixed_kinds`."""
    known = fixed_kinds()
    for key in given:
        if key not in known:
            raise refuse(key, [*GROUPS, *known])


def choices(group: str) -> list[str]:
    """Return the choices of a group, such as recipe, whose choices are files."""
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def refuse(key: str, known: Iterable[str]) -> UserError:
    """Return the error for an unknown key. A name from another framework is translated."""
    if key in {entry.partition(".")[0] for entry in known} | set(REGISTERED):
        return UserError(f"{key} is a section; write {key}.option=value")
    names = list(known)
    close = from_habit(key) or closest(key, names) or closest(key.rpartition(".")[2], names)
    advice = f"did you mean {close}?" if close else "--help shows the keys"
    if not close and "." not in key:
        advice = f"write an algorithm's option as algo.{key}, an environment's as env.{key}"
    return UserError(f"unknown key {key}; {advice}")


def refuse_file(group: str, name: str) -> UserError:
    """Return the error for an unknown `group=name`, where the group's choices are files."""
    names = choices(group)
    close = closest(name, names)
    if group == "model" and not close:
        if "/" in name and not Path(name).exists() and nearby.path_like(name):
            return UserError(f"model={name} is no folder here; {nearby.runs_listed(name)}")
        return UserError(
            f"no model {name!r} in configs/model; for a folder write model.path={name}"
        )
    advice = f"did you mean {close!r}?" if close else f"choose from {', '.join(names)}"
    return UserError(f"no {group} {name!r}; {advice}")


def translated(group: str, name: str) -> str | None:
    """Return our name for a name from another framework, or None if it is not known."""
    ours: str | None = _habits()["names"].get(group, {}).get(name)
    return ours


def from_habit(key: str) -> str | None:
    """Return our key for a key of another framework, or None if it is not known.

    Leading sections of the key are ignored.
    """
    habits, parts = _habits()["keys"], key.split(".")
    endings = (".".join(parts[start:]) for start in range(len(parts)))
    return next((habits[ending] for ending in endings if ending in habits), None)


@cache
def _habits() -> Mapping[str, Any]:
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(OmegaConf.load(CONFIGS / "habits.yaml"))
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _walk(section: type, path: str) -> Iterator[tuple[str, Any]]:
    for name, kind in get_type_hints(section).items():
        if is_dataclass(kind):
            if kind is not Selection:
                yield from _walk(kind, f"{path}{name}.")  # type: ignore[arg-type]
        else:
            yield f"{path}{name}", kind
