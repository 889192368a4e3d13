"""Find, read and write the directory of a comparison:

    comparisons/<name>/
        compare.json      the arms, environments, seeds and rule, and the fairness check's result
        runs/<run>/       ordinary run directories
        logs/<run>.log    the output of each run
        report.html report.md report.json table.tex

The name is derived from the command, so running the same command again continues the comparison.
The number of seeds and the number of parallel runs are not part of the name.
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
FEW = 5  # the folder's name lists up to this many algorithms
PLACE = ("name", "runs_dir", "resume", "accept", "log", "engine.threads")


class Folder(NamedTuple):
    """The directory of a comparison."""

    path: Path

    @property
    def runs(self) -> Path:
        """The folder that holds the run directories."""
        return self.path / "runs"

    def log(self, run: PlannedRun) -> Path:
        """Return the log file of a run's process."""
        return self.path / "logs" / f"{run.name}.log"

    def of(self, run: PlannedRun) -> Path:
        """Return the directory of a run."""
        return self.runs / run.name

    def recorded(self) -> dict[str, Any]:
        """Return the content of compare.json; {} if it does not exist yet."""
        path = self.path / "compare.json"
        if not path.exists():
            return {}
        return untrusted.read_object(path)

    def record(self, facts: Mapping[str, Any]) -> None:
        """Write compare.json."""
        files.write_json(self.path / "compare.json", facts)


def place(settings: Settings, arguments: Mapping[str, str]) -> Folder:
    """Return the comparison's folder for these arguments; the folder need not exist."""
    name = settings.name or _name(settings, arguments)
    return Folder(Path(settings.comparisons_dir) / runlog.checked(name))


def _name(settings: Settings, arguments: Mapping[str, str]) -> str:
    what = [*sorted(arguments.items()), ("ablate", settings.ablate)]
    if settings.design != "grid":
        what.append(("design", settings.design))
    digest = hashlib.blake2b(json.dumps(what).encode(), digest_size=3).hexdigest()
    algos = arguments.get("algo", "default").split(",")
    shown_algos = algos if len(algos) <= FEW else [f"{len(algos)}-algorithms"]
    envs = arguments.get("env", "default").replace(",", "-")
    words = "-".join([envs, *shown_algos])[:LONGEST]
    return f"{words}-{digest}"


def refuse_other_runs(folder: Folder, matrix: Matrix, accept: Sequence[str] = ()) -> None:
    """Raise `UserError` if an existing run was trained with other settings."""
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
