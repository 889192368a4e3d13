"""Read the folder of a comparison: every run in its current state, finished or not.

A run counts if it ended by itself: done or collapsed. A collapsed run counts with its last
evaluation; without it, the arm would gain from the collapse. A run that crashed or has not started
does not count, and the report names it as missing.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from mssr_rl import nearby, untrusted
from mssr_rl.comparison import imported
from mssr_rl.comparison.imported import Imported
from mssr_rl.errors import UserError
from mssr_rl.report.runfiles import Row, RunFiles, read_run
from mssr_rl.run.runlog import checked

PICTURE = re.compile(r"samples/[A-Za-z0-9._-]{1,200}")
COUNTED = ("done", "collapsed")
OF_AN_EVALUATION = ("split", "n", "accuracy", "samples", "per_problem")
DROPPED = "dropped"  # ruled out by the race (`race`), trained or not
LOOKS = "looks.jsonl"  # see `looks`
SOURCES = (
    "config.yaml",
    "run.json",
    "summary.json",
    "eval.jsonl",
    "metrics.jsonl",
    "samples.jsonl",
)


class _RunEntry(msgspec.Struct):
    name: str
    arm: str
    env: str
    seed: int


class _Rule(msgspec.Struct):
    margin: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.01
    alpha: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    baseline: str | None = None
    race: bool = False
    planned: Annotated[int, msgspec.Meta(ge=1)] | None = None  # seeds; None in old comparisons


class _Marks(msgspec.Struct):
    count: Annotated[int, msgspec.Meta(ge=0)] = 0
    last: str = ""


class _FairnessEntry(msgspec.Struct):
    name: str
    kind: str
    values: dict[str, Any]


class _Fair(msgspec.Struct):
    env: str
    rows: list[_FairnessEntry]


class _SweptArm(msgspec.Struct):
    group: str
    values: dict[str, str]


class _Swept(msgspec.Struct):
    design: Literal["grid", "screening"]
    arms: dict[str, _SweptArm]


class _Told(msgspec.Struct):
    """The fields that compare.json must have; they are checked, because anybody may edit it."""

    command: list[str]
    arms: list[str]
    envs: list[str]
    seeds: list[int]
    runs: list[_RunEntry]
    rule: _Rule
    fairness: list[_Fair]
    looks: _Marks | None = None  # the record of looks when training was last started
    given_up: list[str] = []  # runs that crashed twice
    swept: _Swept | None = None  # if two keys or more have several values


class ComparedRun(NamedTuple):
    """One training run of a comparison, and its files."""

    name: str
    arm: str
    env: str
    seed: int
    state: str  # as in run.json, or "missing", or DROPPED
    files: RunFiles | None  # None if there is nothing to read

    @property
    def counts(self) -> bool:
        """Whether the run ended by itself: done or collapsed."""
        return self.state in COUNTED

    @property
    def evaluations(self) -> tuple[Row, ...]:
        """All evaluations of the run, oldest first."""
        return self.files.evaluations if self.files else ()

    @property
    def metrics(self) -> tuple[Row, ...]:
        """The rows of metrics.jsonl, one per training step."""
        return self.files.metrics if self.files else ()

    @property
    def summary(self) -> Row:
        """The content of summary.json; {} if there is none."""
        return self.files.summary if self.files else {}

    def final_answers(self) -> Iterator[Row]:
        """Yield the recorded answers of the last evaluation of each split."""
        last = {split: row["step"] for split in ("val", "test") if (row := self.last(split))}
        samples = self.files.samples if self.files else ()
        return (row for row in samples if row["step"] == last.get(str(row.get("split"))))

    def last(self, split: str) -> Row | None:
        """Return the newest evaluation of a split; None if there is none."""
        return next((row for row in reversed(self.evaluations) if row["split"] == split), None)


class Evidence(NamedTuple):
    """The content of a comparison's folder."""

    folder: Path
    compare: Mapping[str, Any]  # compare.json
    runs: tuple[ComparedRun, ...]
    imported: tuple[Imported, ...] = ()  # runs of other trainers; they never get a verdict

    def on(self, env: str) -> tuple[ComparedRun, ...]:
        """Return the runs on one environment."""
        return tuple(run for run in self.runs if run.env == env)


def read_evidence(folder: Path) -> Evidence:
    """Return the content of a comparison's folder. Raise `UserError` if it is not a comparison."""
    path = folder / "compare.json"
    if not path.exists():
        raise nearby.no_comparison(folder, "has no compare.json, so it is not a comparison")
    try:
        compare = untrusted.read_object(path, within=folder)
        checked_compare = msgspec.convert(compare, _Told)
    except msgspec.ValidationError as error:
        raise UserError(f"{path} is not as compare writes it: {error}") from error
    for run in checked_compare.runs:
        if (
            run.arm not in checked_compare.arms
            or run.env not in checked_compare.envs
            or run.seed not in checked_compare.seeds
        ):
            raise UserError(f"{path} is not as compare writes it: a run of no arm it names")
    _check_swept(path, checked_compare)
    runs = tuple(_run(folder, entry) for entry in compare["runs"])
    return Evidence(folder, compare, runs, imported.read_imported(folder))


def _check_swept(path: Path, compare: _Told) -> None:
    """Raise `UserError` unless swept arms are arms, with the same keys throughout a group."""
    if compare.swept is None:
        return
    keys: dict[str, set[str]] = {}
    for arm, one in compare.swept.arms.items():
        known = keys.setdefault(one.group, set(one.values))
        if arm not in compare.arms or known != set(one.values):
            raise UserError(f"{path} is not as compare writes it: the swept arm {arm[:80]}")


def counted(runs: Sequence[ComparedRun], arm: str) -> list[ComparedRun]:
    """Return the runs of an arm that count, sorted by seed."""
    return sorted((r for r in runs if r.arm == arm and r.counts), key=lambda run: run.seed)


def sources(evidence: Evidence) -> dict[str, str]:
    """Return {path below the folder: SHA-256} of every file that the report is made from."""
    hashes = {"compare.json": untrusted.sha256(evidence.folder / "compare.json")}
    for run in (run for run in evidence.runs if run.state != DROPPED):
        for name in SOURCES:
            path = evidence.folder / "runs" / run.name / name
            if path.exists():
                hashes[f"runs/{run.name}/{name}"] = untrusted.sha256(path)
        hashes |= _pictures(evidence.folder, run)
    for other in evidence.imported:
        for name in imported.FILES:
            path = other.folder / name
            hashes[path.relative_to(evidence.folder).as_posix()] = untrusted.sha256(path)
    return hashes


def _run(folder: Path, entry: Mapping[str, Any]) -> ComparedRun:
    where = folder / "runs" / checked(entry["name"])  # the name must not lead out of the folder
    whole = (where / "config.yaml").exists() and (where / "run.json").exists()
    files = read_run(where) if whole else None
    for row in files.evaluations if files else ():
        if lacking := [key for key in OF_AN_EVALUATION if key not in row]:
            raise UserError(f"{where / 'eval.jsonl'}: an evaluation without {lacking[0]}")
    state = str(files.run.get("status", "running")) if files else "missing"
    return ComparedRun(entry["name"], entry["arm"], entry["env"], entry["seed"], state, files)


def _pictures(folder: Path, run: ComparedRun) -> dict[str, str]:
    """Return {path below the folder: SHA-256} of the pictures beside a run's final answers."""
    where = f"runs/{run.name}"
    rows = run.final_answers() if run.counts else ()
    names = {name for row in rows for name in row.get("images", ()) if isinstance(name, str)}
    inside = [name for name in sorted(names) if PICTURE.fullmatch(name)]
    paths = {f"{where}/{name}": folder / where / name for name in inside}
    return {name: untrusted.sha256(path) for name, path in paths.items() if path.is_file()}
