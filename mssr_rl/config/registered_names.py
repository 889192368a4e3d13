"""The config groups `algo` and `env`: registered names and their options.

Looking up an algorithm imports torch, so `compose` does it after all other checks.
"""

from collections.abc import Mapping
from typing import Any

from mssr_rl import typed
from mssr_rl.config import keys, overrides
from mssr_rl.config.schema import Selection
from mssr_rl.errors import UserError
from mssr_rl.registry import Option, Registry

RESERVED = {"env": {"split"}}  # the trainer chooses the split, not the user


def registry(group: str) -> Registry[Any]:
    """Return the registry of a group, "algo" or "env"."""
    if group == "env":
        from mssr_rl.envs import environments

        return environments
    from mssr_rl.algos import algorithms

    return algorithms


def options(group: str, name: str) -> dict[str, Option]:
    """Return the options of `group=name`. Raises UserError if the name is not registered."""
    known = registry(group)
    if name not in known.names() and (ours := keys.translated(group, name)) in known.names():
        raise UserError(f"no {known.kind} {name!r}; did you mean {ours!r}?")
    reserved = RESERVED.get(group, set())
    return {o: entry for o, entry in known.options(name).items() if o not in reserved}


def ablations(algo: str) -> Mapping[str, Mapping[str, object]]:
    """Return `Algorithm.ablations`: the parts of an algorithm that can be left out."""
    options("algo", algo)  # raises UserError for a name that is not registered
    declared: Mapping[str, Mapping[str, object]] = registry("algo").make(algo).ablations
    return declared


def choose(group: str, node: Mapping[str, Any], given: Mapping[str, str]) -> Selection:
    """Return the name and all options of a choice.

    Each option comes from the texts `given`, else from `node`, else from its default.

    Args:
        group: "algo" or "env".
        node: {"name": ..., option: value}, from files or a recorded config.
        given: {"group.option": text}, from the user's arguments.

    Raises UserError for an unknown name or option, or for a value of the wrong type.
    """
    name = str(node["name"])
    known = options(group, name)
    texts = {key.partition(".")[2]: text for key, text in given.items() if key.startswith(group)}
    for option in (*node, *texts):
        if option not in known and option != "name":
            raise refuse_option(group, name, option)
    values = {option: known[option].default for option in known}
    for option in (option for option in node if option != "name"):
        # A file has lists only. A recorded config must equal the one that was recorded.
        is_tuple = isinstance(values[option], tuple) and isinstance(node[option], list)
        values[option] = tuple(node[option]) if is_tuple else node[option]
    for option, text in texts.items():
        key, kind = f"{group}.{option}", known[option].annotation
        values[option] = typed.convert(overrides.read_value(key, text, kind), kind, key)
    return Selection(name=name, options=values)


def refuse_option(group: str, name: str, option: str) -> UserError:
    """Return the error for an option that `group=name` does not have."""
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
