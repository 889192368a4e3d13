"""Are the arms equal in everything but what is compared? Asked before anything starts. Pure.

Every setting is held against the others', and so is every number that follows from several of them
(`derived`). A difference is accounted for where it is

    definition     of the algorithm: its name, its own options, and what its signature says
    declared       in `varies=`
    consequence    of settings that differ, all of them accounted for

and everything else is a confounder. What an algorithm's signature says is its definition even where
it is part of the shared machinery (a loss, a group size), as long as nobody changed it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, NamedTuple

from mssr_rl.algos import algorithms
from mssr_rl.config import Config, to_dict
from mssr_rl.config.keys import fixed_kinds
from mssr_rl.errors import UserError
from mssr_rl.loss import Loss
from mssr_rl.typed import closest, show

Kind = Literal["same", "definition", "declared", "consequence", "undeclared"]
# About the run's place, not about what is trained.
BESIDE = (
    "name",
    "runs_dir",
    "resume",
    "seed",
    "plugins",
    "recipe",
    "checkpoint.",
    "lens.",
    "algo.name",
)
SHARED = frozenset(f"algo.{field.name}" for field in fields(Loss))  # part of the machinery
GROUP_SIZE = "rollout.group_size"
QUESTIONS = ("eval.limit", "val problems", "test problems")  # what a verdict is about


class FairnessRow(NamedTuple):
    """One setting, and what every arm has there."""

    name: str
    values: tuple[Any, ...]  # an arm each; None where an algorithm has no such option
    kind: Kind
    because: tuple[str, ...] = ()  # a consequence's causes


class Derived(NamedTuple):
    """A number or fingerprint that follows from settings."""

    value: Any
    follows_from: tuple[str, ...]  # keys, or sections ending in a dot
    defines: bool = False  # is part of what an algorithm is: it may differ where algorithms do


class Fairness(NamedTuple):
    """The outcome on one environment."""

    env: str
    arms: tuple[str, ...]
    rows: tuple[FairnessRow, ...]

    @property
    def different(self) -> tuple[FairnessRow, ...]:
        """What the arms do not share."""
        return tuple(row for row in self.rows if row.kind != "same")

    @property
    def confounders(self) -> tuple[FairnessRow, ...]:
        """Differences nobody accounts for."""
        return tuple(row for row in self.rows if row.kind == "undeclared")


def examine(
    configs: Mapping[str, Config],
    derive: Callable[[Config], Mapping[str, Derived]],
    varies: Sequence[str] = (),
) -> Fairness:
    """Hold {arm: config} against each other; all on one environment."""
    settings = {arm: settings_of(config) for arm, config in configs.items()}
    rows = [_row(name, settings, configs, varies) for name in _names(settings.values())]
    _refuse_idle(varies, rows)
    derived = {arm: derive(config) for arm, config in configs.items()}
    for name in _names(derived.values()):
        rows.append(_derived_row(name, derived, rows))  # may follow from one before it
    env = next(iter(configs.values())).env.name
    return Fairness(env, tuple(configs), tuple(rows))


def settings_of(config: Config) -> dict[str, Any]:
    """{dotted key: value} of what an arm is trained and scored with."""
    return {k: v for k, v in leaves(to_dict(config)) if not k.startswith(BESIDE)}


def refusal(found: Fairness) -> UserError:
    """Why nothing was started: the table, and the ways out."""
    keys = [row.name for row in found.confounders if not row.because]
    ways = [
        "give the arms the same value",
        *([f"declare what is meant to differ with varies=[{','.join(keys)}]"] if keys else []),
        "or run it as it is and have it reported in red with fair=report",
    ]
    return UserError(
        f"the arms differ on {found.env} in more than what is compared, so nothing was started:\n\n"
        + table(found.arms, [row for row in found.different if row.kind != "definition"])
        + f"\n\n{', '.join(ways)}"
    )


def refuse_other_questions(found: Fairness) -> None:
    """Raise `UserError` where the arms would be scored on different problems, declared or not."""
    other = [row.name for row in found.different if row.name in QUESTIONS]
    if other:
        raise UserError(
            f"the arms would be scored on different problems of {found.env} ({', '.join(other)} "
            "differ), and no verdict could come of it; give them the same, or make a comparison of "
            "each"
        )


def table(arms: Sequence[str], rows: Sequence[FairnessRow]) -> str:
    """Rows as lines of text, confounders first."""
    ordered = sorted(rows, key=lambda row: row.kind != "undeclared")
    lines = [["setting", *arms, ""]]
    lines += [[row.name, *(shown(value) for value in row.values), why(row)] for row in ordered]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def why(row: FairnessRow) -> str:
    """What accounts for a difference, in words."""
    if row.kind == "definition":
        return "by definition of the algorithms"
    if row.because:
        follows = f"follows from {', '.join(row.because)}"
        return follows if row.kind == "consequence" else f"UNDECLARED, {follows}"
    return "declared" if row.kind == "declared" else "UNDECLARED"


def shown(value: Any) -> str:
    """A value in a cell."""
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None else show(value)


# ---- one setting ----


def _row(
    name: str,
    settings: Mapping[str, Mapping[str, Any]],
    configs: Mapping[str, Config],
    varies: Sequence[str],
) -> FairnessRow:
    values = tuple(mine.get(name) for mine in settings.values())
    if _equal(values):
        return FairnessRow(name, values, "same")
    if name in varies:
        return FairnessRow(name, values, "declared")
    return FairnessRow(
        name, values, "definition" if _by_definition(name, configs) else "undeclared"
    )


def _by_definition(name: str, configs: Mapping[str, Config]) -> bool:
    """Whether the algorithms themselves account for a difference."""
    if name.startswith("algo.") and name not in SHARED:
        return True
    return all(_as_defined(name, config) for config in configs.values())


def _as_defined(name: str, config: Config) -> bool:
    """Whether the arm has what its algorithm's signature says."""
    if name == GROUP_SIZE:
        made = algorithms.make(config.algo.name, **config.algo.options)
        return config.rollout.group_size == made.default_group_size
    if name not in SHARED:
        return False
    option = name.removeprefix("algo.")
    own = algorithms.options(config.algo.name)
    return option not in own or config.algo.options[option] == own[option].default


def _refuse_idle(varies: Sequence[str], rows: Sequence[FairnessRow]) -> None:
    known = {row.name: row for row in rows}
    for key in varies:
        if key not in known:
            close = closest(key, {*known, *fixed_kinds()})
            advice = f"; did you mean {close}?" if close else ""
            raise UserError(f"varies=[{key}] is no setting that arms could differ in{advice}")
        if known[key].kind == "same":
            raise UserError(
                f"varies=[{key}], but it is {shown(known[key].values[0])} in all arms; leave it out"
            )


# ---- what follows ----


def _derived_row(
    name: str, derived: Mapping[str, Mapping[str, Derived]], settings: Sequence[FairnessRow]
) -> FairnessRow:
    values = tuple(mine[name].value if name in mine else None for mine in derived.values())
    if _equal(values):
        return FairnessRow(name, values, "same")
    if all(mine[name].defines for mine in derived.values() if name in mine):
        return FairnessRow(name, values, "definition")
    prefixes = {key for mine in derived.values() if name in mine for key in mine[name].follows_from}
    causes = [row for row in settings if row.kind != "same" and _matches(row.name, prefixes)]
    accounted = bool(causes) and all(row.kind != "undeclared" for row in causes)
    because = tuple(_in_short([row.name for row in causes]))
    return FairnessRow(name, values, "consequence" if accounted else "undeclared", because)


def _in_short(names: Sequence[str]) -> list[str]:
    """An algorithm's options as one cause: which of them it was, the algorithm knows."""
    own = [name for name in names if name.startswith("algo.") and name not in SHARED]
    return [*(["the algorithm"] if own else []), *(name for name in names if name not in own)]


def _matches(name: str, keys: Iterable[str]) -> bool:
    def covers(key: str) -> bool:
        return name == key or (key.endswith(".") and name.startswith(key) and name not in SHARED)

    return any(map(covers, keys))


def _equal(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)


def _names(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for mine in rows for name in mine))


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """(dotted key, value) of everything in nested mappings."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
