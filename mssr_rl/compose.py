"""From `key=value` words to a frozen `Config`, through Hydra's compose API.

Hydra merges the YAML files of configs/: one group each for algo, env, model, engine and recipe.
Around it stands what it lacks: keys and names are checked before it sees them, so that a refusal is
one sentence with "did you mean", and text stays text (`name=1e5`). A registered algorithm or
environment is a group node of its own, made from its signature.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mssr_rl import keys, plugins, typed
from mssr_rl.config import Config, to_dict
from mssr_rl.errors import UserError
from mssr_rl.overrides import has_open_comma, parse


def load(words: Sequence[str] = ()) -> Config:
    """The config these `key=value` words ask for, or a `UserError`."""
    given = parse(words)
    _check_fixed_keys(given)
    plugins.prepare(_modules(given.get("plugins", "[]")))
    return from_dict(_merge(given))


def from_dict(plain: Mapping[str, Any]) -> Config:
    """The config of a plain mapping as `to_dict` makes it; entries left out take their defaults."""
    entries = {str(key): value for key, value in plain.items()}
    plugins.prepare(entries.get("plugins") or ())
    from mssr_rl import crosscheck, names

    chosen = {group: names.choice(group, entries.pop(group)) for group in keys.REGISTERED}
    return crosscheck.settle(typed.build(Config, {**entries, **chosen}))


def read(path: Path) -> Config:
    """The config of a run folder's config.yaml."""
    from omegaconf import OmegaConf

    plain = OmegaConf.to_container(OmegaConf.load(path))
    if not isinstance(plain, dict):
        raise UserError(f"{path} holds no config")
    return from_dict({str(key): value for key, value in plain.items()})


def to_yaml(config: Config) -> str:
    """The resolved config as YAML; `read` is the way back."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(to_dict(config)))


def _modules(text: str) -> list[str]:
    if not (text.startswith("[") and text.endswith("]")):
        raise UserError(f"plugins={text} is not a list; write plugins=[{text}]")
    return [name.strip(" '\"") for name in text[1:-1].split(",") if name.strip()]


def _check_fixed_keys(given: Mapping[str, str]) -> None:
    """Refuse what can be refused without knowing the algorithms: quick, and most typos."""
    known = keys.fixed_kinds()
    groups = (*keys.REGISTERED, *keys.FILES)
    for key, value in given.items():
        group, dot, _ = key.partition(".")
        if key in groups:
            _check_choice(key, value)
        elif key in known:
            _check_comma(key, value, known[key])
        elif not (dot and group in keys.REGISTERED):
            raise keys.refuse(key, [*groups, *known])


def _check_choice(group: str, value: str) -> None:
    if "," in value:
        raise UserError(f"{group}={value}: one run takes one {group}; start a run for each")
    if group in keys.FILES and value not in keys.choices(group):
        raise keys.refuse_file(group, value)


def _check_comma(key: str, value: str, kind: object) -> None:
    if has_open_comma(value) and not typed.takes_text(kind):
        raise UserError(f"{key}={value}: one run takes one value; a list is written [{value}]")


def _merge(given: Mapping[str, str]) -> dict[str, Any]:
    """The YAML files and the words in one plain mapping; words win."""
    from mssr_rl import hydra_groups, names

    chosen = {**hydra_groups.defaults(), **given}
    kinds = {**keys.fixed_kinds(), **names.kinds({g: chosen[g] for g in keys.REGISTERED})}
    for key in given:
        group, _, option = key.partition(".")
        if option and group in keys.REGISTERED and key not in kinds:
            raise names.refuse_option(group, chosen[group], option)
        _check_comma(key, given[key], kinds.get(key, str))
    verbatim = [key for key, kind in kinds.items() if typed.takes_text(kind)]
    return hydra_groups.merge(given, verbatim, {g: r.names() for g, r in names.REGISTRIES.items()})
