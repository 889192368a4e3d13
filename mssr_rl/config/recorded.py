"""The config of a run that is resumed: its config.yaml, changed by the user's arguments.

`resume=true name=NAME` alone continues a run with all of its settings. If the user chooses another
algorithm or model (`algo=`, `model=`), the whole group is replaced; `lifecycle` then refuses what
would change the run. run.json holds a copy of the settings. If config.yaml is missing or damaged,
`accept=[config]` continues with that copy.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from mssr_rl import typed, untrusted
from mssr_rl.config import hydra_groups, keys, overrides, safe_yaml
from mssr_rl.config.schema import Config, Selection
from mssr_rl.errors import UserError

ACCEPTABLE = ("plugins", "config", "data", "record")  # what `accept=` may name
SECTIONS = (
    *("algo", "env", "model", "engine", "train", "rollout"),
    *("budget", "eval", "checkpoint"),
)  # without these a config.yaml was cut short

NO_WORDS: Mapping[str, str] = MappingProxyType({})  # the user allows no code of the run


def entries(groups: Mapping[str, str], fixed: Mapping[str, str]) -> dict[str, Any]:
    """Return the entries from which a config is made.

    They come from the config.yaml of a resumed run, else from the files of configs/.
    """
    fresh = hydra_groups.merge(groups)
    path = _config_file(fixed)
    if path is None or not (path.exists() or (path.parent / "run.json").exists()):
        return fresh
    before = of_run(path.parent, overrides.listed("accept", fixed.get("accept", "[]")))
    changed = [group for group in groups if _name(before.get(group)) != _name(fresh[group])]
    return {**before, **{group: fresh[group] for group in changed}}


def of_run(folder: Path, accept: Sequence[str] = ()) -> dict[str, Any]:
    """Return the settings of a run, from its config.yaml.

    If config.yaml cannot be read and `accept` names config, the copy in run.json is used.

    Raises:
        UserError: config.yaml cannot be read; the message says how to continue.
    """
    try:
        return whole(folder / "config.yaml")
    except UserError as error:
        kept = _kept(folder)
        if kept and "config" in accept:
            return kept
        use_copy = "add accept=[config] to continue with the settings in run.json, or " * bool(kept)
        raise UserError(f"{error}; {use_copy}restore the file from a backup") from error


def whole(path: Path) -> dict[str, Any]:
    """Return the entries of a config.yaml.

    Raises UserError if a section is missing or a value has the wrong type.
    """
    if not path.exists():
        raise UserError(f"{path} is gone")
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path} is empty")
    config = plain(path)
    missing = [name for name in SECTIONS if not isinstance(config.get(name), Mapping)]
    missing += [
        f"{group}.name" for group in keys.REGISTERED if not _section(config, group).get("name")
    ]
    if missing:
        raise UserError(
            f"{path} was cut short or is not the config of a run: it has no {missing[0]}"
        )
    bare = {g: Selection(name=str(config[g]["name"]), options={}) for g in keys.REGISTERED}
    try:
        typed.build(Config, {**config, **bare})
    except UserError as error:
        raise UserError(f"{path} was cut short or edited: {error}") from error
    return config


def document(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of a run.

    Raises:
        FileNotFoundError: the file does not exist.
        UserError: the file is empty, cut short, or holds no JSON object.
    """
    if path.is_file() and path.stat().st_size == 0:
        raise UserError(f"{path} is empty")
    content = untrusted.document(path)
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no JSON object")
    return content


def check_accepted(names: Sequence[str]) -> None:
    """Raise UserError if `accept=` names something that cannot be accepted."""
    unknown = [name for name in names if name not in ACCEPTABLE]
    if unknown:
        raise UserError(
            f"accept=[{unknown[0]}] names no change that can be accepted; choose from "
            f"{', '.join(ACCEPTABLE)}"
        )


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return {dotted key: value} of nested mappings."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            found |= leaves(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _kept(folder: Path) -> dict[str, Any] | None:
    """Return the copy of the settings in run.json, or None."""
    try:
        settings = _section(document(folder / "run.json"), "config").get("settings")
    except (UserError, FileNotFoundError):
        return None
    return dict(settings) if isinstance(settings, Mapping) else None


def plain(path: Path) -> dict[str, Any]:
    """Return the entries of a config.yaml that may come from anybody; nothing in it is run."""
    return parsed(safe_yaml.text(path), str(path))


def parsed(text: str, path: str) -> dict[str, Any]:
    """Return the entries of a config's text. Error messages name the file by `path`."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    try:
        tree = OmegaConf.to_container(OmegaConf.create(text))
    except (ValueError, YAMLError, OmegaConfBaseException) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path} holds no config")
    return {str(key): value for key, value in tree.items()}


def _config_file(fixed: Mapping[str, str]) -> Path | None:
    """Return the config.yaml of the run to be resumed; None if no run is resumed."""
    resume = fixed.get("resume", "false")
    kind = keys.fixed_kinds()["resume"]
    if "name" not in fixed or overrides.read_value("resume", resume, kind) is not True:
        return None
    return Path(fixed.get("runs_dir", Config.runs_dir)) / fixed["name"] / "config.yaml"


def _name(group: Any) -> Any:
    """Return the name that a group's entries choose; for a model, its path."""
    return group.get("name", group.get("path")) if isinstance(group, Mapping) else group


def refuse_unnamed(path: Path, words: Mapping[str, str]) -> None:
    """Raise UserError if a run folder's config would run code that the user does not name.

    Running code means: import a module, start an engine that unpickles, or use a cluster.
    """
    config = plain(path)
    _refuse_plugins(
        path, config.get("plugins") or [], overrides.listed("plugins", words.get("plugins", "[]"))
    )
    engine, cluster = (_section(config, key) for key in ("engine", "cluster"))
    unnamed = {}
    if engine.get("name", "local") not in ("local", words.get("engine")):
        unnamed["engine"] = engine["name"]
    if cluster.get("address") not in (None, words.get("cluster.address")):
        unnamed["cluster.address"] = cluster["address"]
    if unnamed:
        repeated = " ".join(f"{key}={value}" for key, value in unnamed.items())
        raise UserError(
            f"{path} asks for {repeated}, and then its checkpoints can run code; a run folder may "
            f"come from anybody: if you trust this one, add {repeated}"
        )


def _section(tree: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    section = tree.get(key)
    return section if isinstance(section, Mapping) else {}  # `whole` refuses anything else


def _refuse_plugins(path: Path, found: Any, named: Sequence[str]) -> None:
    every = found if isinstance(found, list) else [found]
    unnamed = [str(module) for module in every if module not in named]
    if unnamed:
        raise UserError(
            f"{path} wants to import {', '.join(unnamed)}, and a run folder may come from anybody: "
            f"if you know that code, add plugins=[{','.join(map(str, every))}]"
        )


# ---- what changed while a run was away ----


class Changed(NamedTuple):
    """A change since the run began, as an entry of run.json."""

    step: int  # the last step before the change
    what: str
    says: str
    accepted: bool  # True: `accept=` named it; False: it was only printed

    def sentence(self) -> str:
        """Return the change as a sentence for a report."""
        how = "accepted" if self.accepted else "noted"
        return f"after step {self.step}: {self.says} ({how})"


def noted(record: Mapping[str, Any]) -> list[Changed]:
    """Return the changes that a run.json lists.

    Malformed entries are skipped, because anybody may have edited the file.
    """
    value = record.get("changes")
    entries = value if isinstance(value, list) else []
    return [made for made in map(_changed, entries) if made is not None]


def _changed(entry: Any) -> Changed | None:
    kinds = {"step": int, "what": str, "says": str, "accepted": bool}
    if not isinstance(entry, Mapping):
        return None
    if not all(isinstance(entry.get(name), kind) for name, kind in kinds.items()):
        return None
    return Changed(**{name: entry[name] for name in kinds})
