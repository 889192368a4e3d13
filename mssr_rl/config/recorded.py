"""The config of a run that is taken up again: what its config.yaml says, unless the words differ.

`resume=true name=NAME` alone continues that run with all of its settings. A group chosen by another
name (`algo=`, `model=`) is laid over whole; `lifecycle` then refuses what would change the run.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mssr_rl.config import hydra_groups, keys, overrides, safe_yaml
from mssr_rl.config.schema import Config
from mssr_rl.errors import UserError

NO_WORDS: Mapping[str, str] = MappingProxyType({})  # of a user who repeats nothing of the run's


def entries(groups: Mapping[str, str], fixed: Mapping[str, str]) -> dict[str, Any]:
    """What the words are laid over: a resumed run's own config, else the files of configs/."""
    fresh = hydra_groups.merge(groups)
    path = _config_file(fixed)
    if path is None or not path.exists():
        return fresh
    found = plain(path)
    changed = [group for group in groups if _name(found.get(group)) != _name(fresh[group])]
    return {**found, **{group: fresh[group] for group in changed}}


def plain(path: Path) -> dict[str, Any]:
    """The entries of a run folder's config.yaml, which may come from anybody."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    try:
        read = OmegaConf.to_container(OmegaConf.create(safe_yaml.text(path)))
    except (ValueError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(read, dict):
        raise UserError(f"{path} holds no config")
    return {str(key): value for key, value in read.items()}


def _config_file(fixed: Mapping[str, str]) -> Path | None:
    """Where the run that is to be resumed keeps its config, None if none is."""
    resume = fixed.get("resume", "false")
    kind = keys.fixed_kinds()["resume"]
    if "name" not in fixed or overrides.read_value("resume", resume, kind) is not True:
        return None
    return Path(fixed.get("runs_dir", Config.runs_dir)) / fixed["name"] / "config.yaml"


def _name(group: Any) -> Any:
    """What a group is called: by name, or a model by its path."""
    return group.get("name", group.get("path")) if isinstance(group, Mapping) else group


def refuse_unnamed(path: Path, words: Mapping[str, str]) -> None:
    """Raise `UserError` if a run folder's config would run code that the user's words do not name.

    That is: import a module, start an engine that unpickles, or send work to a cluster.
    """
    found = plain(path)
    _refuse_plugins(path, found.get("plugins") or [], listed(words.get("plugins", "[]")))
    engine, cluster = (_section(found, key) for key in ("engine", "cluster"))
    unnamed = {}
    if engine.get("name", "local") not in ("local", words.get("engine")):
        unnamed["engine"] = engine["name"]
    if cluster.get("address") not in (None, words.get("cluster.address")):
        unnamed["cluster.address"] = cluster["address"]
    if unnamed:
        repeated = " ".join(f"{key}={value}" for key, value in unnamed.items())
        raise UserError(
            f"{path} wants to be run with {repeated}, where its checkpoints can run code, and a "
            f"run folder may come from anybody: if you trust this one, add {repeated}"
        )


def listed(text: str) -> list[str]:
    """The names in `[a,b]`."""
    return [name.strip() for name in text.strip("[]").split(",") if name.strip()]


def _section(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = tree.get(key)
    return found if isinstance(found, Mapping) else {}  # anything else is refused as it is read


def _refuse_plugins(path: Path, found: Any, named: Sequence[str]) -> None:
    every = found if isinstance(found, list) else [found]
    unnamed = [str(module) for module in every if module not in named]
    if unnamed:
        raise UserError(
            f"{path} wants to import {', '.join(unnamed)}, and a run folder may come from anybody: "
            f"if you know that code, add plugins=[{','.join(map(str, every))}]"
        )
