"""From `key=value` words to a frozen `Config`.

Hydra merges the YAML files of configs/ (`hydra_groups`) and reads values (`overrides`); a run that
is resumed starts from its own config.yaml instead (`recorded`). Here stands
what it lacks: a refusal is one sentence with "did you mean", text stays text (`name=1e5`), and an
algorithm or environment needs no YAML file, its signature is its group. What can be refused without
importing torch is refused before.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mssr_rl import outward, typed
from mssr_rl.config import keys, overrides, plugins, recorded
from mssr_rl.config.schema import Config, Selection, to_dict
from mssr_rl.errors import UserError


def load(words: Sequence[str] = ()) -> Config:
    """The config these `key=value` words ask for, or a `UserError`."""
    given = overrides.parse(words)
    groups = {key: _checked_choice(key, given[key]) for key in keys.GROUPS if key in given}
    options = {key: given[key] for key in given if key.startswith(("algo.", "env."))}
    fixed = {key: given[key] for key in given if key not in {*groups, *options}}
    keys.check(fixed)
    entries = recorded.entries(groups, fixed)
    _overlay(entries, fixed)
    config = _typed(entries)
    plugins.prepare(config.plugins)
    return _complete(config, entries, options)


def from_dict(plain: Mapping[str, Any]) -> Config:
    """The config of a plain mapping as `to_dict` makes it; entries left out take their defaults."""
    config = _typed(plain)
    plugins.prepare(config.plugins)
    return _complete(config, plain, {})


def read(path: Path) -> Config:
    """The config of a run folder's config.yaml."""
    return from_dict(recorded.whole(path))


def read_foreign(path: Path, words: Mapping[str, str]) -> Config:
    """The same of a folder that may come from anybody: only code that the words name is run."""
    recorded.refuse_unnamed(path, words)
    return read(path)


def of_run(folder: Path, accept: Sequence[str] = ()) -> Config:
    """The config of a run that is taken up again; see `recorded.of_run`."""
    return from_dict(recorded.of_run(folder, accept))


def to_yaml(config: Config) -> str:
    """The resolved config as YAML; `read` is the way back."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(to_dict(config)))


def _checked_choice(group: str, name: str) -> str:
    if "," in name:
        raise UserError(f"{group}={name}: one run takes one {group}; start a run for each")
    if group in keys.FILES and name not in keys.choices(group):
        raise keys.refuse_file(group, name)
    if not re.fullmatch(r"[\w.+-]+", name):
        raise UserError(f"{group}={name} is not a name: letters, digits and _ - . +")
    return name


def _typed(entries: Mapping[str, Any]) -> Config:
    """Everything but the options of algorithm and environment, checked."""
    for group in keys.REGISTERED:
        if not isinstance(entries.get(group), Mapping) or "name" not in entries[group]:
            raise UserError(f"the config names no {group}, with {group}.name and its options")
    bare = {g: Selection(name=str(entries[g]["name"]), options={}) for g in keys.REGISTERED}
    return typed.build(Config, {**entries, **bare})


def _complete(config: Config, entries: Mapping[str, Any], given: Mapping[str, str]) -> Config:
    """The config with the options of its environment and algorithm, checked as a whole."""
    from mssr_rl.config import registered_names

    env = registered_names.choose("env", entries["env"], given)  # first: it does not need torch
    algo = registered_names.choose("algo", entries["algo"], given)
    from mssr_rl.config import crosscheck

    complete = replace(config, env=env, algo=algo)
    _refuse_secrets(to_dict(complete))
    return crosscheck.settle(complete)


def _refuse_secrets(tree: Mapping[str, Any], prefix: str = "") -> None:
    """A config is written down, hashed, shown and shared: nothing secret may be in it."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            _refuse_secrets(value, f"{prefix}{key}.")
        elif outward.secret(str(value)):
            raise UserError(
                f"{prefix}{key} holds what looks like a password or a key, and a config is written "
                "to disk and into reports; give secrets by the environment, e.g. HF_TOKEN"
            )


def _overlay(entries: dict[str, Any], given: Mapping[str, str]) -> None:
    """Put given texts where their dotted keys point, read as their kinds want it."""
    for key, text in given.items():
        *path, last = key.split(".")
        node = entries
        for part in path:
            node = node.setdefault(part, {})
        node[last] = overrides.read_value(key, text, keys.fixed_kinds()[key])
