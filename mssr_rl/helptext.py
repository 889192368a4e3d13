"""What `--help` prints: verbs, what is registered, and every key with its value and meaning.

Nothing is written down twice: names come from the registries, keys from the config's fields, values
from the recipe. `--help algo=NAME` adds that algorithm's own options.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from mssr_rl.compare.settings import Settings
from mssr_rl.config import Choice, keys, names
from mssr_rl.config.compose import load
from mssr_rl.typed import show

TITLES = {"algo": "algorithms, algo=NAME", "env": "environments, env=NAME"}
EXAMPLE = "mssr_rl VERB key=value ...      e.g. mssr_rl train algo={algo} env={env} seed=1"


def page(verbs: Mapping[str, str], words: Sequence[str]) -> str:
    """The whole text; `words` may choose an algorithm and an environment to be shown in full."""
    config = load(
        [word for word in words if word.partition("=")[0] in ("algo", "env", "recipe", "plugins")]
    )
    parts = [EXAMPLE.format(algo=config.algo.name, env=config.env.name), "", *_table(verbs)]
    for group, title in TITLES.items():
        known = names.registry(group)
        parts += ["", title, *_table({name: known.about(name) for name in known.names()})]
    for group, choice in (("algo", config.algo), ("env", config.env)):
        parts += ["", f"options of {group}={choice.name}", *_keys(_options(group, choice))]
    files = {group: f"one of {', '.join(keys.choices(group))}" for group in keys.FILES}
    parts += ["", "groups of settings", *_table(files)]
    parts += ["", f"keys, as recipe={config.recipe} sets them", *_keys(_fields(config))]
    parts += ["", "keys of compare; a comma sweeps any other key", *_keys(_fields(Settings()))]
    return "\n".join(parts)


def _options(group: str, choice: Choice) -> Iterator[tuple[str, Any, str]]:
    for option, entry in names.options(group, choice.name).items():
        yield f"{group}.{option}", choice.options[option], entry.doc


def _fields(section: Any, path: str = "") -> Iterator[tuple[str, Any, str]]:
    for field in fields(section):
        value = getattr(section, field.name)
        if is_dataclass(value):
            if not isinstance(value, Choice):
                yield from _fields(value, f"{path}{field.name}.")
        else:
            yield f"{path}{field.name}", value, field.metadata["doc"]


def _keys(found: Iterator[tuple[str, Any, str]]) -> list[str]:
    return _table({f"{key}={show(value)}": doc for key, value, doc in found})


def _table(rows: Mapping[str, str]) -> list[str]:
    width = max(map(len, rows), default=0)
    return [f"  {name:<{width}}  {says}".rstrip() for name, says in rows.items()]
