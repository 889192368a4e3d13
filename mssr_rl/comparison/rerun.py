"""A run's config and problems once more, for checks that grade or answer again.

A run folder may come from anybody. Code that its config names runs only if the user's words name it
too (`config.recorded`), and data are read only if they come with the package or the user's
`env.data=` names them.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mssr_rl.comparison.evidence import ComparedRun, Evidence
from mssr_rl.config import Config, compose, recorded
from mssr_rl.config.recorded import NO_WORDS
from mssr_rl.envs import ProblemEnv, environments
from mssr_rl.errors import UserError
from mssr_rl.run.splits import environment


class NotHere(UserError):
    """Why something cannot be done again here."""


class Reruns:
    """The configs and problems of a comparison's runs; problems are read once for all runs."""

    def __init__(self, evidence: Evidence, words: Mapping[str, str] = NO_WORDS) -> None:
        self.evidence = evidence
        self.words = words
        self._read: dict[str, ProblemEnv | str] = {}

    def config(self, run: ComparedRun, *, to_grade: bool = False) -> Config:
        """The run's config; `to_grade` starts no engine, so that its engine need not be named.

        Raises:
            NotHere: the user has not allowed what it names, or it cannot be read.
        """
        path = self.evidence.folder / "runs" / run.name / "config.yaml"
        here = self.words.get("engine") == "local"  # whatever engine the run had
        words = {**self.words, **(_engine_of(path) if to_grade or here else {})}
        try:
            config = compose.read_foreign(path, words)
        except UserError as error:
            raise NotHere(str(error)) from error
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise NotHere(f"{path} holds no config that can be read: {error!r:.200}") from error
        if here:
            config = replace(config, engine=replace(config.engine, name="local"))
        data = self.words.get("env.data")
        if data is None or "data" not in config.env.options:
            return config
        options = {**config.env.options, "data": data}
        return replace(config, env=replace(config.env, options=options))

    def problems(self, run: ComparedRun, split: str, *, to_grade: bool = False) -> ProblemEnv:
        """The split that the run was scored on, which must be the same to the last picture.

        Raises:
            NotHere: it is not here, or not the same.
        """
        config = self.config(run, to_grade=to_grade)
        _refuse_unnamed_data(config, self.words)
        name = f"{config.env.name} {split} {sorted(config.env.options.items())}"
        if name not in self._read:
            self._read[name] = _read(config, split)
        found = self._read[name]
        if isinstance(found, str):
            raise NotHere(found)
        facts: Mapping[str, Any] = run.files.run.get("data", {}) if run.files else {}
        if facts.get(split, {}).get("fingerprint") != found.fingerprint():
            raise NotHere(f"{config.env.name} {split} holds other problems here than the run had")
        return found


def _read(config: Config, split: str) -> ProblemEnv | str:
    try:
        return environment(config, split)
    except UserError as error:
        return str(error)


def _engine_of(path: Path) -> dict[str, str]:
    try:
        found = recorded.plain(path)
    except UserError as error:
        raise NotHere(str(error)) from error
    engine, cluster = (found.get(key) for key in ("engine", "cluster"))
    named = engine.get("name", "local") if isinstance(engine, Mapping) else "local"
    address = cluster.get("address") if isinstance(cluster, Mapping) else None
    return {"engine": named, **({} if address is None else {"cluster.address": address})}


def _refuse_unnamed_data(config: Config, words: Mapping[str, str]) -> None:
    """What an environment reads by default comes with the package; all else may be anything."""
    known = environments.options(config.env.name)
    for option, value in config.env.options.items():
        default, named = known[option].default, words.get(f"env.{option}")
        if (
            isinstance(value, str)
            and value not in (default, named)
            and _names_a_place(option, value)
        ):
            raise NotHere(
                f"the runs on {config.env.name} had env.{option}={value}, which is read only if "
                f"you say so: add env.{option}={value}, or where it lies here"
            )


def _names_a_place(option: str, value: str) -> bool:
    return option == "data" or "/" in value or Path(value).exists()
