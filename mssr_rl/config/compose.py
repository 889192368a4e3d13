"""Build a frozen `Config` from `key=value` arguments.

Hydra merges the YAML files of configs/ (`hydra_groups`) and parses values (`overrides`). A run that
is resumed starts from its own config.yaml instead (`recorded`). This module adds what Hydra lacks:

* an error is one sentence with "did you mean";
* text stays text, so `name=1e5` is a name;
* an algorithm or environment needs no YAML file, because its signature declares its options.

Importing torch takes seconds, so every error that does not need torch is raised before.
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
    """Return the config for these `key=value` arguments.

    Raises UserError if a key is unknown, a value is wrong, or the settings do not fit together.
    """
    given = overrides.parse(words)
    groups = {key: _checked_choice(key, given[key]) for key in keys.GROUPS if key in given}
    options = {key: given[key] for key in given if key.startswith(("algo.", "env."))}
    fixed = {key: given[key] for key in given if key not in {*groups, *options}}
    keys.check_keys(fixed)
    entries = recorded.entries(groups, fixed)
    _overlay(entries, fixed)
    config = _typed(entries)
    plugins.prepare(config.plugins)
    return _complete(config, entries, options)


def from_dict(plain: Mapping[str, Any]) -> Config:
    """Return the config made of plain values, such as those of `to_dict`.

    Missing entries get their defaults.
    """
    config = _typed(plain)
    plugins.prepare(config.plugins)
    return _complete(config, plain, {})


def read_config(path: Path) -> Config:
    """Return the config that a config.yaml holds. Raises UserError if the file is damaged."""
    return from_dict(recorded.whole(path))


def read_foreign(path: Path, words: Mapping[str, str]) -> Config:
    """Return the config of a run folder that may come from anybody.

    Raises UserError if the config would run code that the user's arguments do not name.
    """
    recorded.refuse_unnamed(path, words)
    return read_config(path)


def of_run(folder: Path, accept: Sequence[str] = ()) -> Config:
    """Return the config of a run that is resumed; see `recorded.of_run`."""
    return from_dict(recorded.of_run(folder, accept))


def to_yaml(config: Config) -> str:
    """Return the whole config as YAML. `read_config` is the inverse."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(to_dict(config)))


def _checked_choice(group: str, name: str) -> str:
    if "," in name:
        raise UserError(
            f"{group}={name}: one run takes one {group}; compare {group}={name} trains a run with "
            "each, or start them one by one"
        )
    if group in keys.FILES and name not in keys.choices(group):
        raise keys.refuse_file(group, name)
    if not re.fullmatch(r"[\w.+-]+", name):
        raise UserError(f"{group}={name} is not a name; names have letters, digits and _ - . +")
    return name


def _typed(entries: Mapping[str, Any]) -> Config:
    """Return the checked config without the options of algorithm and environment."""
    for group in keys.REGISTERED:
        if not isinstance(entries.get(group), Mapping) or "name" not in entries[group]:
            raise UserError(f"the config names no {group}; it needs {group}.name")
    bare = {g: Selection(name=str(entries[g]["name"]), options={}) for g in keys.REGISTERED}
    return typed.build(Config, {**entries, **bare})


def _complete(config: Config, entries: Mapping[str, Any], given: Mapping[str, str]) -> Config:
    """Return the config with the options of its environment and algorithm, and check the whole."""
    from mssr_rl.config import registered_names

    # The environment comes first: its errors do not need torch.
    env = registered_names.choose("env", entries["env"], given)
    algo = registered_names.choose("algo", entries["algo"], given)
    from mssr_rl.config import crosscheck

    complete = replace(config, env=env, algo=algo)
    _refuse_secrets(to_dict(complete))
    return crosscheck.settle(complete)


def _refuse_secrets(tree: Mapping[str, Any], prefix: str = "") -> None:
    """Raise UserError if a value looks like a secret: configs are written to disk and shared."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            _refuse_secrets(value, f"{prefix}{key}.")
        elif outward.secret(str(value)):
            raise UserError(
                f"{prefix}{key} looks like a password or a secret key, and the config is written "
                "to disk and into reports; set secrets as environment variables, e.g. HF_TOKEN"
            )


def _overlay(entries: dict[str, Any], given: Mapping[str, str]) -> None:
    """Write the values of `given` into `entries` at their dotted keys, parsed by the key's type."""
    for key, text in given.items():
        *path, last = key.split(".")
        node = entries
        for part in path:
            node = node.setdefault(part, {})
        node[last] = overrides.read_value(key, text, keys.fixed_kinds()[key])
