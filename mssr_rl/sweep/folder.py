"""A comparison's directory:

    comparisons/<name>/
        compare.json      what is compared, and what the fairness check found
        runs/<run>/       ordinary run directories
        logs/<run>.log    what each run said
        report.html report.md report.json table.tex

The name is made from the command, so the same command finds what it left; more seeds, or more runs
at once, do not make it another.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import files, untrusted
from mssr_rl.config import compose, to_dict
from mssr_rl.errors import UserError
from mssr_rl.run import runlog
from mssr_rl.sweep.fairness import leaves, shown
from mssr_rl.sweep.matrix import Matrix, PlannedRun
from mssr_rl.sweep.settings import Settings

LONGEST = 90  # characters of a name before its digest
FEW = 5  # algorithms that are named in the folder's name
PLACE = ("name", "runs_dir", "resume", "accept", "engine.threads")


class Folder(NamedTuple):
    """Where a comparison lies."""

    path: Path

    @property
    def runs(self) -> Path:
        """Its run directories."""
        return self.path / "runs"

    def log(self, run: PlannedRun) -> Path:
        """What a run's process said."""
        return self.path / "logs" / f"{run.name}.log"

    def of(self, run: PlannedRun) -> Path:
        """A run's directory."""
        return self.runs / run.name

    def recorded(self) -> dict[str, Any]:
        """compare.json, empty before there is one."""
        path = self.path / "compare.json"
        if not path.exists():
            return {}
        return untrusted.read_object(path)

    def record(self, facts: Mapping[str, Any]) -> None:
        """Write compare.json."""
        files.write_json(self.path / "compare.json", facts)


def place(settings: Settings, given: Mapping[str, str]) -> Folder:
    """The folder of these words; whether it exists does not matter."""
    name = settings.name or _name(settings, given)
    return Folder(Path(settings.comparisons_dir) / runlog.checked(name))


def _name(settings: Settings, given: Mapping[str, str]) -> str:
    what = [*sorted(given.items()), ("ablate", settings.ablate)]
    digest = hashlib.blake2b(json.dumps(what).encode(), digest_size=3).hexdigest()
    algos = given.get("algo", "default").split(",")
    said = algos if len(algos) <= FEW else [f"{len(algos)}-algorithms"]
    envs = given.get("env", "default").replace(",", "-")
    words = "-".join([envs, *said])[:LONGEST]
    return f"{words}-{digest}"


def refuse_other_runs(folder: Folder, matrix: Matrix, accept: Sequence[str] = ()) -> None:
    """Raise `UserError` if a run that is there already was told something else."""
    for run in matrix.runs:
        if not (folder.of(run) / "config.yaml").exists():
            continue
        old = dict(leaves(to_dict(compose.of_run(folder.of(run), accept))))
        new = dict(leaves(to_dict(run.config)))
        keys = sorted({k for k in old | new if old.get(k) != new.get(k)} - set(PLACE))
        if keys:
            listed = ", ".join(
                f"{key}={shown(new.get(key))} (was {shown(old.get(key))})" for key in keys
            )
            raise UserError(
                f"{folder.of(run)} was trained with other settings: {listed}; give the old "
                "values, or make a new comparison under another name="
            )
