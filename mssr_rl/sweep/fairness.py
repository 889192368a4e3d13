"""Check, before a comparison starts, that its arms differ only as intended. Pure functions.

The check compares every setting of the arms, and every number that follows from settings
(`derived`). A difference is accounted for if it is one of

    definition     part of the algorithm: its name, its own options, its default values
    declared       named in `varies=`
    consequence    it follows from settings whose differences are all accounted for

Every other difference is a confounder. The default values in an algorithm's signature are part of
its definition. This includes defaults of common settings, such as a loss or a group size. A value
that the user changed is not part of the definition.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any, Literal, NamedTuple

from mssr_rl.algos import algorithms
from mssr_rl.config import Config, to_dict
from mssr_rl.config.keys import fixed_kinds
from mssr_rl.errors import UserError
from mssr_rl.loss import Loss
from mssr_rl.text_table import aligned
from mssr_rl.typed import closest, show

Kind = Literal["same", "definition", "declared", "consequence", "undeclared"]
# Keys of a run's place and files; they do not affect what is trained.
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
SHARED = frozenset(f"algo.{field.name}" for field in fields(Loss))  # options of all algorithms
GROUP_SIZE = "rollout.group_size"
QUESTIONS = ("eval.limit", "val problems", "test problems")  # these must be equal for a verdict


class FairnessRow(NamedTuple):
    """One setting, its value in every arm, and what accounts for a difference."""

    name: str
    values: tuple[Any, ...]  # one per arm; None if an algorithm has no such option
    kind: Kind
    because: tuple[str, ...] = ()  # the causes of a consequence


class Derived(NamedTuple):
    """A number or fingerprint that follows from settings, and the settings that it follows from."""

    value: Any
    follows_from: tuple[str, ...]  # keys, or sections ending in a dot
    defines: bool = False  # part of the algorithm's definition, so it may differ


class Fairness(NamedTuple):
    """The result of the fairness check on one environment."""

    env: str
    arms: tuple[str, ...]
    rows: tuple[FairnessRow, ...]

    @property
    def different(self) -> tuple[FairnessRow, ...]:
        """The settings that differ between arms."""
        return tuple(row for row in self.rows if row.kind != "same")

    @property
    def confounders(self) -> tuple[FairnessRow, ...]:
        """The differences that are not accounted for."""
        return tuple(row for row in self.rows if row.kind == "undeclared")


def examine(
    configs: Mapping[str, Config],
    derive: Callable[[Config], Mapping[str, Derived]],
    varies: Sequence[str] = (),
) -> Fairness:
    """Compare the configs of all arms on one environment; `configs` is {arm: config}.

    `derive` computes the numbers that follow from a config. `varies` are the declared settings.
    """
    settings = {arm: settings_of(config) for arm, config in configs.items()}
    rows = [_row(name, settings, configs, varies) for name in _names(settings.values())]
    _refuse_idle(varies, rows)
    derived = {arm: derive(config) for arm, config in configs.items()}
    for name in _names(derived.values()):
        rows.append(_derived_row(name, derived, rows))  # it may follow from an earlier row
    env = next(iter(configs.values())).env.name
    return Fairness(env, tuple(configs), tuple(rows))


def settings_of(config: Config) -> dict[str, Any]:
    """Return {dotted key: value} of the settings that affect training and scoring."""
    return {k: v for k, v in leaves(to_dict(config)) if not k.startswith(BESIDE)}


def refusal(fair: Fairness) -> UserError:
    """Return the error for confounders: a table of them, and the user's possible next steps."""
    keys = [row.name for row in fair.confounders if not row.because]
    ways = [
        "give the arms the same value",
        *([f"declare intended differences with varies=[{','.join(keys)}]"] if keys else []),
        "or use fair=report, which starts anyway and marks the differences in red in the report",
    ]
    return UserError(
        f"on {fair.env} the arms differ in settings that were not declared, so nothing was "
        "started:\n\n"
        + table(fair.arms, [row for row in fair.different if row.kind != "definition"])
        + f"\n\n{', '.join(ways)}"
    )


def refuse_other_questions(fair: Fairness) -> None:
    """Raise `UserError` if arms would be scored on different problems, even if declared."""
    other = [row.name for row in fair.different if row.name in QUESTIONS]
    if other:
        raise UserError(
            f"the arms would be scored on different problems of {fair.env} ({', '.join(other)} "
            "differ), so no verdict is possible; give all arms the same problems, or compare "
            "them separately"
        )


def table(arms: Sequence[str], rows: Sequence[FairnessRow]) -> str:
    """Return the rows as lines of text, with confounders first."""
    ordered = sorted(rows, key=lambda row: row.kind != "undeclared")
    lines = [["setting", *arms, ""]]
    lines += [[row.name, *(shown(value) for value in row.values), why(row)] for row in ordered]
    return "\n".join(aligned(lines, indent="  "))


def why(row: FairnessRow) -> str:
    """Return in words what accounts for a difference, or that it was not declared."""
    if row.kind == "definition":
        return "by definition of the algorithms"
    if row.because:
        follows = f"follows from {', '.join(row.because)}"
        return follows if row.kind == "consequence" else f"UNDECLARED, {follows}"
    return "declared" if row.kind == "declared" else "UNDECLARED"


def shown(value: Any) -> str:
    """Return a value as the text of a table cell: "–" for None, six digits for a float."""
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
    """Return whether the definitions of the algorithms account for a difference."""
    if name.startswith("algo.") and name not in SHARED:
        return True
    return all(_as_defined(name, config) for config in configs.values())


def _as_defined(name: str, config: Config) -> bool:
    """Return whether the arm uses the default value of its algorithm for the setting `name`."""
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
            raise UserError(f"varies=[{key}] is not a setting in which arms can differ{advice}")
        if known[key].kind == "same":
            raise UserError(
                f"varies=[{key}], but it is {shown(known[key].values[0])} in all arms; remove it"
            )


# ---- numbers that follow from settings ----


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
    """Return the causes; all options of the algorithm become the one entry "the algorithm"."""
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
    """Yield (dotted key, value) for every leaf of nested mappings."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
