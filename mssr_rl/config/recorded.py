"""The config of a run that is taken up again: what its config.yaml says, unless the words differ.

`resume=true name=NAME` alone continues that run with all of its settings. A group chosen by another
name (`algo=`, `model=`) is laid over whole; `lifecycle` then refuses what would change the run.
run.json keeps a copy of the settings: where config.yaml is gone or cut short, `accept=[config]`
goes on with that.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mssr_rl import typed, untrusted
from mssr_rl.config import hydra_groups, keys, overrides, safe_yaml
from mssr_rl.config.schema import Config, Selection
from mssr_rl.errors import UserError

ACCEPTABLE = ("plugins", "config", "data", "record")  # what `accept=` may name
SECTIONS = (
    *("algo", "env", "model", "engine", "train", "rollout"),
    *("budget", "eval", "checkpoint"),
)  # without these a config.yaml was cut short

NO_WORDS: Mapping[str, str] = MappingProxyType({})  # of a user who repeats nothing of the run's


def entries(groups: Mapping[str, str], fixed: Mapping[str, str]) -> dict[str, Any]:
    """What the words are laid over: a resumed run's own config, else the files of configs/."""
    fresh = hydra_groups.merge(groups)
    path = _config_file(fixed)
    if path is None or not (path.exists() or (path.parent / "run.json").exists()):
        return fresh
    found = of_run(path.parent, overrides.listed("accept", fixed.get("accept", "[]")))
    changed = [group for group in groups if _name(found.get(group)) != _name(fresh[group])]
    return {**found, **{group: fresh[group] for group in changed}}


def of_run(folder: Path, accept: Sequence[str] = ()) -> dict[str, Any]:
    """The settings of a run: its config.yaml or, if accepted, run.json's copy of one that is lost.

    Raises:
        UserError: config.yaml cannot be read; the sentence says how to go on.
    """
    try:
        return whole(folder / "config.yaml")
    except UserError as error:
        kept = _kept(folder)
        if kept and "config" in accept:
            return kept
        copied = "add accept=[config] to go on with the settings that run.json kept, or " * bool(
            kept
        )
        raise UserError(f"{error}; {copied}put the file back from a copy") from error


def whole(path: Path) -> dict[str, Any]:
    """The entries of a config.yaml: no section is missing, every value is of its kind."""
    if not path.exists():
        raise UserError(f"{path} is gone")
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path} is empty")
    found = plain(path)
    missing = [name for name in SECTIONS if not isinstance(found.get(name), Mapping)]
    missing += [
        f"{group}.name" for group in keys.REGISTERED if not _section(found, group).get("name")
    ]
    if missing:
        raise UserError(f"{path} was cut short or is no config of a run: it has no {missing[0]}")
    bare = {g: Selection(name=str(found[g]["name"]), options={}) for g in keys.REGISTERED}
    try:
        typed.build(Config, {**found, **bare})
    except UserError as error:
        raise UserError(f"{path} was cut short or edited: {error}") from error
    return found


def document(path: Path) -> dict[str, Any]:
    """The object that a run's JSON file holds.

    Raises:
        FileNotFoundError: it is not there.
        UserError: it holds none, because it is empty, cut short or something else.
    """
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path} is empty")
    found = untrusted.document(path)
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no JSON object")
    return found


def check_accepted(names: Sequence[str]) -> None:
    """Raise `UserError` for a name that `accept=` does not know."""
    unknown = [name for name in names if name not in ACCEPTABLE]
    if unknown:
        raise UserError(
            f"accept=[{unknown[0]}] names no change that a run can go on with; choose from "
            f"{', '.join(ACCEPTABLE)}"
        )


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{dotted key: value} of nested mappings."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _kept(folder: Path) -> dict[str, Any] | None:
    """Run.json's copy of the settings, None if there is none."""
    try:
        settings = _section(document(folder / "run.json"), "config").get("settings")
    except (UserError, FileNotFoundError):
        return None
    return dict(settings) if isinstance(settings, Mapping) else None


def plain(path: Path) -> dict[str, Any]:
    """The entries of a run folder's config.yaml, which may come from anybody."""
    return parsed(safe_yaml.text(path), str(path))


def parsed(text: str, path: str) -> dict[str, Any]:
    """The entries of a config's text; `path` names it where it cannot be read."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    try:
        read = OmegaConf.to_container(OmegaConf.create(text))
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
    _refuse_plugins(
        path, found.get("plugins") or [], overrides.listed("plugins", words.get("plugins", "[]"))
    )
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
