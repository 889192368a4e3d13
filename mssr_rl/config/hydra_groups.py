"""Merge the YAML files of configs/ with Hydra, and return a plain mapping.

This uses Hydra's compose API. `@hydra.main` would take over `--help`, logging and the working
directory.
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from mssr_rl.config.keys import CONFIGS, REGISTERED
from mssr_rl.errors import UserError

PER_ALGO = "per_algo"  # a recipe's section of settings that differ between algorithms, on purpose


def merge(chosen: Mapping[str, str]) -> dict[str, Any]:
    """Return the merged entries for the choices `{group: name}`, with the names among them.

    Raises UserError if a file of configs/ cannot be read.
    """
    names = {**defaults(), **chosen}
    # A group that the user did not choose is not passed on, so that a recipe may override it.
    passed_on = {**{group: names[group] for group in REGISTERED}, **chosen}
    entries = deepcopy(_composed(CONFIGS.resolve(), tuple(passed_on.items())))
    for group in REGISTERED:
        entries[group] = {"name": names[group], **(entries.get(group) or {})}
    own = entries.pop(PER_ALGO, {}).get(names["algo"], {})
    return _laid_over({**entries, "recipe": names["recipe"]}, own)


@lru_cache
def _composed(configs: Path, chosen: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return Hydra's merged entries for the choices (group, name).

    The result is cached, because the arms of a comparison often make the same choices.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for group, name in chosen:
        if group in REGISTERED:
            _store(group, name)
    words = [f"{group}='{name}'" for group, name in chosen]
    try:
        with initialize_config_dir(config_dir=str(configs), version_base="1.3"):
            tree = compose("config", overrides=words)
        plain = OmegaConf.to_container(tree, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(f"configs/ cannot be read: {' '.join(str(error).split())}") from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def per_algo(recipe: str) -> dict[str, Any]:
    """Return {algorithm: settings that the recipe gives to this algorithm only}.

    It is empty for most recipes.
    """
    from omegaconf import OmegaConf

    loaded = OmegaConf.to_container(OmegaConf.load(CONFIGS / "recipe" / f"{recipe}.yaml"))
    assert isinstance(loaded, dict)
    settings: dict[str, Any] = loaded.get(PER_ALGO, {})
    return settings


def defaults() -> dict[str, str]:
    """Return {group: its default choice} from configs/config.yaml."""
    from omegaconf import OmegaConf

    loaded: Any = OmegaConf.load(CONFIGS / "config.yaml")
    return {
        group: name
        for entry in loaded.defaults
        if entry != "_self_"
        for group, name in entry.items()
    }


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        inner = merged.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        merged[key] = _laid_over(inner or {}, value) if both else value
    return merged


def _store(group: str, name: str) -> None:
    """Register an empty Hydra node for a name; a YAML file of the same name has priority."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(group=group, name=name, node={}, provider="mssr_rl")
