"""The only place that speaks to Hydra: configs/ and checked words in, a plain mapping out.

The compose API, not `@hydra.main`, which takes over `--help`, logging and the working directory.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from mssr_rl.errors import UserError
from mssr_rl.keys import CONFIGS, FILES, REGISTERED


def merge(
    given: Mapping[str, str], verbatim: Iterable[str], names: Mapping[str, list[str]]
) -> dict[str, Any]:
    """YAML defaults under the given words. `verbatim` keys hold text that no grammar may touch."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    text = {key: value for key, value in given.items() if key in set(verbatim)}
    words = [_word(key, value) for key, value in given.items() if key not in text]
    _store(names)
    try:
        with initialize_config_dir(config_dir=str(CONFIGS.resolve()), version_base="1.3"):
            tree = compose("config", overrides=words, return_hydra_config=True)
        chosen = dict(tree.hydra.runtime.choices)
        del tree.hydra
        plain = OmegaConf.to_container(tree, resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_one_sentence(words, error)) from error
    assert isinstance(plain, dict)
    return _overlay({str(k): v for k, v in plain.items()}, text, chosen)


@cache
def defaults() -> Mapping[str, str]:
    """{group: the choice made when nobody makes one}, from configs/config.yaml."""
    from omegaconf import OmegaConf

    listed = OmegaConf.load(CONFIGS / "config.yaml")["defaults"]
    return {group: name for entry in listed if entry != "_self_" for group, name in entry.items()}


def _word(key: str, value: str) -> str:
    return f"{key}={value}" if key in (*REGISTERED, *FILES) else f"++{key}={value}"


def _store(names: Mapping[str, list[str]]) -> None:
    """A group node for every registered name; a YAML file of that name goes before it."""
    from hydra.core.config_store import ConfigStore

    for group, registered in names.items():
        for name in registered:
            ConfigStore.instance().store(group=group, name=name, node={}, provider="mssr_rl")


def _overlay(
    plain: dict[str, Any], text: Mapping[str, str], chosen: Mapping[str, str]
) -> dict[str, Any]:
    for group in REGISTERED:
        plain[group] = {"name": chosen[group], **(plain.get(group) or {})}
    plain["recipe"] = chosen["recipe"]
    for key, value in text.items():
        *path, last = key.split(".")
        node = plain
        for part in path:
            node = node.setdefault(part, {})
        node[last] = None if value == "null" else value
    return plain


def _one_sentence(words: Iterable[str], error: Exception) -> str:
    """Hydra explains its grammar over many lines; the word it stumbled on is what helps."""
    message = " ".join(str(error).split())
    word = next((w.lstrip("+") for w in words if w in message), None)
    return f"{word} cannot be read: check brackets and quotes" if word else message
