"""Registered names and their options as the config sees them: the groups `algo` and `env`.

Looking up an algorithm imports torch, so `compose` does it once all else is in order.
"""

from collections.abc import Mapping
from typing import Any

from mssr_rl import typed
from mssr_rl.config import keys, overrides
from mssr_rl.config.schema import Selection
from mssr_rl.errors import UserError
from mssr_rl.registry import Option, Registry

RESERVED = {"env": {"split"}}  # the trainer says which split, not the user


def registry(group: str) -> Registry[Any]:
    """Where the names of a group are registered."""
    if group == "env":
        from mssr_rl.envs import environments

        return environments
    from mssr_rl.algos import algorithms

    return algorithms


def options(group: str, name: str) -> dict[str, Option]:
    """What can be set as `group.option=value` once `group=name` is chosen; refuses other names."""
    known = registry(group)
    if name not in known.names() and (ours := keys.translated(group, name)) in known.names():
        raise UserError(f"no {known.kind} {name!r}; did you mean {ours!r}?")
    reserved = RESERVED.get(group, set())
    return {o: entry for o, entry in known.options(name).items() if o not in reserved}


def ablations(algo: str) -> Mapping[str, Mapping[str, object]]:
    """The parts of an algorithm that can be left out, as `Algorithm.ablations` has them."""
    options("algo", algo)  # refuses a name nobody registered
    declared: Mapping[str, Mapping[str, object]] = registry("algo").make(algo).ablations
    return declared


def choose(group: str, node: Mapping[str, Any], given: Mapping[str, str]) -> Selection:
    """`{"name": ..., option: value}` under the `group.option` texts given, defaults filled in."""
    name = str(node["name"])
    known = options(group, name)
    texts = {key.partition(".")[2]: text for key, text in given.items() if key.startswith(group)}
    for option in (*node, *texts):
        if option not in known and option != "name":
            raise refuse_option(group, name, option)
    values = {option: known[option].default for option in known}
    values |= {option: value for option, value in node.items() if option != "name"}
    for option, text in texts.items():
        key, kind = f"{group}.{option}", known[option].annotation
        values[option] = typed.convert(overrides.read_value(key, text, kind), kind, key)
    return Selection(name=name, options=values)


def refuse_option(group: str, name: str, option: str) -> UserError:
    """Why `group.option` is not understood while `group=name`."""
    mine = options(group, name)
    owners = [n for n in registry(group).names() if option in options(group, n)]
    if translated := keys.from_habit(f"{group}.{option}"):
        advice = f"did you mean {translated}?"
    elif close := typed.closest(option, mine):
        advice = f"did you mean {group}.{close}?"
    elif owners:
        advice = f"it is an option of {', '.join(owners)}"
    else:
        advice = f"its options: {', '.join(mine) or 'none'}"
    return UserError(f"{group}={name} has no option {option}; {advice}")
