"""report.json as types: the comparison's report, a versioned document. Pure.

    runs' files -> `findings` -> Report -> report.json, report.md, table.tex, report.html

`VERSION` goes up with the first change after a release to the fields, to what they mean, or to the
files that are drawn from them. `schemas/report_<version>.json` says in JSON Schema what a version
promised: the newest is made from the types here (`python -m mssr_rl.comparison.document > FILE`),
the older ones are history, and `report_versions` verifies by them.
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
from mssr_rl.comparison.spending import FactRow, LedgerRow

VERSION = 2
SCHEMAS = Path(__file__).parent / "schemas"


@dataclass(frozen=True)
class RuleOf:
    """How the verdict was reached (`stats.verdict.Rule`)."""

    margin: float
    alpha: float
    baseline: str | None


@dataclass(frozen=True)
class SettingRow:
    """A setting of the fairness check, as compare.json has it; values by arm."""

    name: str
    values: dict[str, Any]
    kind: str
    because: tuple[str, ...]


@dataclass(frozen=True)
class OnEnvironment:
    """Everything about one environment."""

    env: str
    split: str
    questions: int
    at: str  # the budget in words
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
    """How often a run of `a` beats one of `b`."""

    a: str
    b: str
    probability: float


@dataclass(frozen=True)
class Overall:
    """Over all environments."""

    leaderboard: tuple[MeanRow, ...]
    pairs: tuple[PairRow, ...]
    iqm_of_gains: dict[str, float | None]
    improvement: tuple[Improvement, ...]


@dataclass(frozen=True)
class ImportedRow:
    """A run of another trainer (`imported.About`), its length and last values."""

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
    """Where an arm stands in the race (`stats.racing.Standing`)."""

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
    """A number of seeds at which words are given (`stats.sequential.Analysis`)."""

    number: int
    seeds: int
    level: float


@dataclass(frozen=True)
class PastReport:
    """A report that was made before, or this one."""

    seeds: int  # finished then
    runs: int


@dataclass(frozen=True)
class Looks:
    """When words are given, and when somebody looked."""

    planned: int  # seeds
    complete: int  # seeds whose runs have all come to an end
    newest: LookRow | None  # the words are its
    next: LookRow
    recorded: tuple[PastReport, ...]
    says: str
    cautions: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """The whole document."""

    version: int
    made_by: str | None  # the version of the package, which nothing is decided by
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
    sources: dict[str, str]  # path below the folder -> sha256 of every file it was made from


def plain(report: Report) -> dict[str, Any]:
    """The document as JSON has it."""
    found: dict[str, Any] = _lists(msgspec.to_builtins(report, str_keys=True))
    return found


def _lists(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _lists(value) for key, value in tree.items()}
    return [_lists(value) for value in tree] if isinstance(tree, (list, tuple)) else tree


def typed(document: Mapping[str, Any]) -> Report:
    """A document of this version, read back.

    Raises:
        ValueError: a field is missing or is of another kind; the text names it.
    """
    return msgspec.convert(document, Report)


def text(document: Mapping[str, Any]) -> str:
    """The content of report.json."""
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


@cache
def schema(version: int) -> Mapping[str, Any]:
    """What a version promised, in JSON Schema."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"report_{version}.json").read_text("utf-8"))
    return found


def promised(document: Any, version: int) -> Any:
    """Of a document, what that version had: keys that came later are left out."""
    return _kept(document, schema(version), schema(version).get("$defs", {}))


def _kept(tree: Any, rule: Mapping[str, Any], kinds: Mapping[str, Any]) -> Any:
    while "$ref" in rule:
        rule = kinds[rule["$ref"].rpartition("/")[2]]
    if "anyOf" in rule:  # something or null
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
    """The newest schema, from the types."""
    return json.dumps(msgspec.json.schema(Report), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema_of_now())
