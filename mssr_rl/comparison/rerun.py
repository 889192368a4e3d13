"""Load the config and the problems of a run again, for checks that grade or answer again.

A run folder may come from anybody. So code that its config names is run only if the user's
arguments name it too (`config.recorded`). Data are read only if they are part of the package, or if
the user names them with `env.data=`.
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
    """The error for something that cannot be computed again on this machine; it says why."""


class Reruns:
    """The configs and problems of a comparison's runs; problems are read once for all runs."""

    def __init__(self, evidence: Evidence, words: Mapping[str, str] = NO_WORDS) -> None:
        self.evidence = evidence
        self.words = words
        self._read: dict[str, ProblemEnv | str] = {}

    def config(self, run: ComparedRun, *, to_grade: bool = False) -> Config:
        """Return the run's config, with the engine and the data that the user's arguments name.

        With `to_grade` no engine is started, so the arguments need not name the run's engine.

        Raises:
            NotHere: the config cannot be read, or it names code that the user did not allow.
        """
        path = self.evidence.folder / "runs" / run.name / "config.yaml"
        here = self.words.get("engine") == "local"  # use the local engine, whatever the run used
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
        """Return the environment with the split that the run was scored on.

        Raises:
            NotHere: the data are not on this machine, or the problems differ from those of the run.
        """
        config = self.config(run, to_grade=to_grade)
        _refuse_unnamed_data(config, self.words)
        name = f"{config.env.name} {split} {sorted(config.env.options.items())}"
        if name not in self._read:
            self._read[name] = _read(config, split)
        env = self._read[name]
        if isinstance(env, str):
            raise NotHere(env)
        facts: Mapping[str, Any] = run.files.run.get("data", {}) if run.files else {}
        if facts.get(split, {}).get("fingerprint") != env.fingerprint():
            raise NotHere(f"{config.env.name} {split} holds other problems here than the run had")
        return env


def _read(config: Config, split: str) -> ProblemEnv | str:
    try:
        return environment(config, split)
    except UserError as error:
        return str(error)


def _engine_of(path: Path) -> dict[str, str]:
    try:
        config = recorded.plain(path)
    except UserError as error:
        raise NotHere(str(error)) from error
    engine, cluster = (config.get(key) for key in ("engine", "cluster"))
    named = engine.get("name", "local") if isinstance(engine, Mapping) else "local"
    address = cluster.get("address") if isinstance(cluster, Mapping) else None
    return {"engine": named, **({} if address is None else {"cluster.address": address})}


def _refuse_unnamed_data(config: Config, words: Mapping[str, str]) -> None:
    """Raise `NotHere` if the config reads data outside of the package that `words` do not name."""
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
