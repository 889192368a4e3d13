"""Registered names and their options as the config sees them: the groups `algo` and `env`.

Importing this imports every algorithm and environment (and torch with them), so `compose` does it
only once the rest of the command line is in order.
"""

from collections.abc import Mapping
from typing import Any

from mssr_rl import keys, typed
from mssr_rl.algos import algorithms
from mssr_rl.config import Choice
from mssr_rl.envs import environments
from mssr_rl.errors import UserError
from mssr_rl.registry import Option, Registry

REGISTRIES: Mapping[str, Registry[Any]] = {"algo": algorithms, "env": environments}
RESERVED = {"env": {"split"}}  # the trainer says which split, not the user


def options(group: str, name: str) -> dict[str, Option]:
    """What can be set as `group.option=value` once `group=name` is chosen; refuses other names."""
    registry = REGISTRIES[group]
    if name not in registry.names() and (ours := keys.translated(group, name)) in registry.names():
        raise UserError(f"no {registry.kind} {name!r}; did you mean {ours!r}?")
    reserved = RESERVED.get(group, set())
    return {o: entry for o, entry in registry.options(name).items() if o not in reserved}


def kinds(chosen: Mapping[str, str]) -> dict[str, Any]:
    """{`group.option`: its type} for `{group: name}`."""
    return {
        f"{group}.{option}": entry.annotation
        for group, name in chosen.items()
        for option, entry in options(group, name).items()
    }


def choice(group: str, node: Mapping[str, Any]) -> Choice:
    """`{"name": ..., option: value, ...}` with types checked and defaults filled in."""
    name = str(node["name"])
    known = options(group, name)
    for option in set(node) - set(known) - {"name"}:
        raise refuse_option(group, name, option)
    given = {
        o: typed.convert(node[o], known[o].annotation, f"{group}.{o}") for o in known if o in node
    }
    return Choice(name=name, options={o: given.get(o, known[o].default) for o in known})


def refuse_option(group: str, name: str, option: str) -> UserError:
    """Why `group.option` is not understood while `group=name`."""
    mine = options(group, name)
    owners = [n for n in REGISTRIES[group].names() if option in options(group, n)]
    if close := typed.closest(option, mine):
        advice = f"did you mean {group}.{close}?"
    elif owners:
        advice = f"it is an option of {', '.join(owners)}"
    else:
        advice = f"its options: {', '.join(mine) or 'none'}"
    return UserError(f"{group}={name} has no option {option}; {advice}")
