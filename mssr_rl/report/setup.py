"""Describe the settings and the cost of a run: machine, versions, ledger, time. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from omegaconf import OmegaConf
from yaml import YAMLError  # type: ignore[import-untyped]

from mssr_rl.config import recorded, safe_yaml
from mssr_rl.metric_names import BUDGETS, PHASES, timing_name
from mssr_rl.report.runfiles import Row, RunFiles
from mssr_rl.report.text import duration
from mssr_rl.typed import dotted

ESSENTIAL = (
    "algo.",
    "env.",
    "model.",
    "engine.",
    "budget.",
    "train.rollouts_per_step",
    "train.samples_per_update",
    "train.lr",
    "rollout.",
    "eval.",
    "recipe",
    "seed",
)
TITLE_KEYS = ("algo", "env", "model", "recipe", "seed")
STATUS = {
    "done": "finished",
    "interrupted": "stopped early",
    "collapsed": "stopped: training collapsed",
    "failed": "failed",
}
SAID_ABOVE = frozenset(
    {"overlap", "status", "exit_reason", "name", "changes", "config", "differs_from_recipe"}
)


class Fact(NamedTuple):
    """A name and its value, for a table of the page."""

    name: str
    value: Any


class Setting(NamedTuple):
    """A setting of the run, and the recipe's value if the user changed it."""

    name: str
    value: Any
    changed: bool
    usual: Any = None


class Phase(NamedTuple):
    """The wall time of one phase, and its share of all phases."""

    name: str
    seconds: float
    share: float


class Setup(NamedTuple):
    """The parts of the page about settings and cost."""

    title: Mapping[str, str]
    status: str
    changes: tuple[str, ...]  # changes before the run was resumed, one sentence each
    settings: tuple[Setting, ...]  # those that the user changed come first
    compared: bool  # whether it is known what the recipe says
    origin: tuple[Fact, ...]
    ledger: tuple[Fact, ...]
    phases: tuple[Phase, ...]


def describe(files: RunFiles) -> Setup:
    """Return the settings and the cost of a run, without its measurements of the policy."""
    config = flat_config(files.config_text)
    ledger = _ledger(files)
    return Setup(
        title={key: _name_of(config, key) for key in TITLE_KEYS},
        status=status(files),
        changes=tuple(change.sentence() for change in recorded.noted(files.run)),
        settings=settings(config, files.run.get("differs_from_recipe")),
        compared=isinstance(files.run.get("differs_from_recipe"), Mapping),
        origin=(
            *(Fact(k, v) for k, v in filled(files.run) if k.split(".")[0] not in SAID_ABOVE),
            *in_two_splits(files.run.get("overlap")),
        ),
        ledger=(
            *(_spent(k, v) for k, v in ledger.items() if isinstance(v, (int, float))),
            *left_out(files.run.get("data")),
        ),
        phases=phases(ledger.get("seconds_by_phase") or _timings(files.metrics)),
    )


def settings(config: Mapping[str, Any], differing: object) -> tuple[Setting, ...]:
    """Return the settings of a run, with marks where they differ from its recipe."""
    usual = differing if isinstance(differing, Mapping) else {}
    changed = [Setting(key, config.get(key), True, usual[key]) for key in usual]
    rest = (Setting(key, value, False) for key, value in config.items() if key not in usual)
    return (*changed, *(one for one in rest if one.name.startswith(ESSENTIAL)))


def left_out(data: object) -> Iterator[Fact]:
    """Yield the number of rows that were left out of each split, if there are any."""
    for split, known in data.items() if isinstance(data, Mapping) else ():
        count = known.get("left_out") if isinstance(known, Mapping) else None
        if isinstance(count, int) and count:
            yield Fact(f"rows of {split} left out", count)


def in_two_splits(overlap: object) -> Iterator[Fact]:
    """Yield the number of rows that each pair of splits shares."""
    for pair in overlap if isinstance(overlap, list) else ():
        if isinstance(pair, Mapping):
            shared = "all" if pair.get("stands_in") else str(pair.get("rows"))
            name = f"{pair.get('split')} in {pair.get('with')}"
            yield Fact(name, f"{shared} of {pair.get('of')} rows")


def status(files: RunFiles) -> str:
    """Return the state of the run in words; it is right even if the run was killed."""
    known = str(files.run.get("status", "running"))
    reason = files.run.get("exit_reason") or files.summary.get("exit_reason")
    planned = files.run.get("steps")
    at = f"at step {files.last_step:,}" + (f" of {planned:,}" if isinstance(planned, int) else "")
    if known == "running" and not files.summary:
        return f"unfinished: still running, or stopped without a message, {at}"
    return f"{STATUS.get(known, 'ended')} {at}" + (f": {reason}" if reason else "")


def filled(tree: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of every value in nested mappings, without empty values."""
    return ((key, leaf) for key, leaf in dotted(tree) if leaf is not None and leaf not in ([], ""))


def phases(seconds: Mapping[str, float]) -> tuple[Phase, ...]:
    """Return the time and share of every phase, longest first."""
    total = sum(seconds.values()) or 1.0
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    return tuple(Phase(name, spent, spent / total) for name, spent in ordered)


def flat_config(text: str) -> dict[str, Any]:
    """Return {dotted key: value} of a config.yaml, without empty values; {} if it is damaged."""
    if safe_yaml.unsafe(text):
        return {}  # the page still shows the file as text
    try:
        tree = OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except (YAMLError, ValueError, OSError):
        return {}
    return {str(k): v for k, v in filled(tree)} if isinstance(tree, dict) else {}  # type: ignore[arg-type]


def _name_of(config: Mapping[str, Any], key: str) -> str:
    for name in (key, f"{key}.name", f"{key}.path"):
        if name in config:
            return str(config[name])
    return "–"


def _ledger(files: RunFiles) -> Mapping[str, Any]:
    found = files.summary.get("ledger") or files.summary.get("budget")
    if isinstance(found, Mapping):
        return found
    newest: Row = files.metrics[-1] if files.metrics else {}
    return {name: newest[key] for name, key in BUDGETS.items() if key in newest}


def _timings(metrics: Sequence[Row]) -> dict[str, float]:
    total: dict[str, float] = {}
    for row in metrics:
        for phase in PHASES:
            if timing_name(phase) in row:
                total[phase] = total.get(phase, 0.0) + row[timing_name(phase)]
    return total


def _spent(name: str, amount: float) -> Fact:
    if name == "seconds":
        return Fact("charged time", duration(amount))
    if name.endswith("_seconds"):
        return Fact(f"{name.removesuffix('_seconds')} time", duration(amount))
    return Fact(name.replace("_", " "), amount)
