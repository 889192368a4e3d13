"""The report of a comparison as typed, versioned data: the fields of report.json. Pure functions.

    runs' files -> `findings` -> Report -> report.json, report.md, table.tex, report.html

A change to the fields, to their meaning, or to the files drawn from them needs a new `VERSION`.
After each release, only the first change needs one. `schemas/report_<version>.json` is the JSON
Schema of each version. The newest schema is made from the types in this module:

    python -m mssr_rl.comparison.document > FILE

The older schemas never change, and `report_versions` uses them to verify older reports.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from mssr_rl.comparison.accuracy import KindRow, LeaderboardRow, PairRow
from mssr_rl.comparison.columns import NumberWithInterval
from mssr_rl.comparison.health import StabilityRow
from mssr_rl.comparison.learning_speed import SpeedRow
from mssr_rl.comparison.maps import MapSection
from mssr_rl.comparison.spending import FactRow, LedgerRow

VERSION = 2
SCHEMAS = Path(__file__).parent / "schemas"


@dataclass(frozen=True)
class RuleOf:
    """The rule of the verdicts (`stats.verdict.Rule`)."""

    margin: float
    alpha: float
    baseline: str | None


@dataclass(frozen=True)
class SettingRow:
    """A setting of the fairness check, from compare.json; `values` are by arm."""

    name: str
    values: dict[str, Any]
    kind: str
    because: tuple[str, ...]


@dataclass(frozen=True)
class OnEnvironment:
    """All results on one environment."""

    env: str
    split: str
    questions: int
    at: str  # the budget as text
    verdict: str
    in_front: str
    cautions: tuple[str, ...]
    leaderboard: tuple[LeaderboardRow, ...]
    pairs: tuple[PairRow, ...]
    speed: tuple[SpeedRow, ...]
    stability: tuple[StabilityRow, ...]
    kinds: dict[str, dict[str, KindRow]]
    ledger: tuple[LedgerRow, ...]
    fairness: tuple[SettingRow, ...]
    as_run: tuple[FactRow, ...]


@dataclass(frozen=True)
class MeanRow:
    """An arm's mean accuracy over environments."""

    arm: str
    accuracy: NumberWithInterval


@dataclass(frozen=True)
class Improvement:
    """The probability that a run of `a` beats a run of `b`."""

    a: str
    b: str
    probability: float


@dataclass(frozen=True)
class Overall:
    """Results over all environments."""

    leaderboard: tuple[MeanRow, ...]
    pairs: tuple[PairRow, ...]
    iqm_of_gains: dict[str, float | None]
    improvement: tuple[Improvement, ...]


@dataclass(frozen=True)
class ImportedRow:
    """A run of another trainer (`imported.About`), its number of steps and its last values."""

    name: str
    format: str
    file: str
    sha256: str
    rollouts_per_step: int
    source: dict[str, str]
    steps: int
    last: dict[str, float | None]


@dataclass(frozen=True)
class RaceRow:
    """The state of an arm in the race (`stats.racing.RaceStanding`)."""

    e_value: float
    threshold: float
    out_after: int | None


@dataclass(frozen=True)
class RunRow:
    """One training run."""

    name: str
    arm: str
    env: str
    seed: int
    state: str


@dataclass(frozen=True)
class LookRow:
    """A number of seeds at which verdicts are given (`stats.sequential.Analysis`)."""

    number: int
    seeds: int
    level: float


@dataclass(frozen=True)
class PastReport:
    """An earlier report of this comparison, or this one."""

    seeds: int  # seeds that were finished
    runs: int


@dataclass(frozen=True)
class Looks:
    """The looks at which verdicts are given, and the reports that were made."""

    planned: int  # planned seeds
    complete: int  # seeds whose runs have all ended
    newest: LookRow | None  # the look that gave the verdicts
    next: LookRow
    recorded: tuple[PastReport, ...]
    says: str
    cautions: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The whole report."""

    version: int
    made_by: str | None  # the version of the package, for information only
    command: tuple[str, ...]
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    rule: RuleOf
    verdict: str
    looks: Looks
    envs: tuple[OnEnvironment, ...]
    overall: Overall | None
    imported: tuple[ImportedRow, ...]
    race: dict[str, RaceRow]
    runs: tuple[RunRow, ...]
    sources: dict[str, str]  # path below the folder -> sha256, for every file that was read
    # Absent if fewer than two keys are swept; it has a version of its own.
    maps: MapSection | msgspec.UnsetType = msgspec.UNSET


def plain(report: Report) -> dict[str, Any]:
    """Return the report as plain JSON data: dicts, lists, texts and numbers."""
    data: dict[str, Any] = _lists(msgspec.to_builtins(report, str_keys=True))
    return data


def _lists(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _lists(value) for key, value in tree.items()}
    return [_lists(value) for value in tree] if isinstance(tree, (list, tuple)) else tree


def typed(document: Mapping[str, Any]) -> Report:
    """Return the typed report of the current version from plain JSON data.

    Raises:
        ValueError: a field is missing or has the wrong type; the message names it.
    """
    return msgspec.convert(document, Report)


def text(document: Mapping[str, Any]) -> str:
    """Return the text of report.json."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


@cache
def schema(version: int) -> Mapping[str, Any]:
    """Return the JSON Schema of a version of the report."""
    data: dict[str, Any] = json.loads((SCHEMAS / f"report_{version}.json").read_text("utf-8"))
    return data


def promised(document: Any, version: int) -> Any:
    """Return the document with only those keys that the schema of `version` has."""
    return _kept(document, schema(version), schema(version).get("$defs", {}))


def _kept(tree: Any, rule: Mapping[str, Any], kinds: Mapping[str, Any]) -> Any:
    while "$ref" in rule:
        rule = kinds[rule["$ref"].rpartition("/")[2]]
    if "anyOf" in rule:  # a type or null
        rule = next(one for one in rule["anyOf"] if one != {"type": "null"})
        return None if tree is None else _kept(tree, rule, kinds)
    if isinstance(tree, Mapping) and "properties" in rule:
        known = rule["properties"]
        return {key: _kept(value, known[key], kinds) for key, value in tree.items() if key in known}
    if isinstance(tree, Mapping):
        each = rule.get("additionalProperties", {})
        return {key: _kept(value, each, kinds) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_kept(value, rule.get("items", {}), kinds) for value in tree]
    return tree


def schema_of_now() -> str:
    """Return the text of the current version's JSON Schema, made from the types of this module."""
    return json.dumps(msgspec.json.schema(Report), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_of_now())
