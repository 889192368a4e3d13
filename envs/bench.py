"""Environments made from real data sets: their columns and splits are turned into problems.

A file beside this one declares a `Format` for each data set. It has the hub name, the stored
splits, how a raw row becomes a row for `mssr_rl.data.reader`, and the reported metric. The option
`data` is one of

    drawn          the ten generated families in this format (the default: needs no download)
    real           the data set itself, from the hub or its cache
    owner/name     another hub id of the same format
    FOLDER, FILE   a copy on disk; a folder that holds a folder of the environment's name works too
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from mssr_rl.data import column_content, reader, row_faults, sources
from mssr_rl.envs.environment import ProblemEnv, Rules, good_golds, register
from mssr_rl.errors import UserError
from mssr_rl.problem import Problem

Row = Mapping[str, Any]
INSTRUCTION = "paper"


@dataclass(frozen=True, kw_only=True)
class Format:
    """The facts about one data set from which its environment is made."""

    name: str
    gym_id: str | None = None  # a second name for Gymnasium, in its usual spelling
    about: str  # one line of help
    hub: str  # owner/name
    splits: Mapping[str, tuple[str, ...]]  # ours -> what the set may call it, best first
    row: Callable[[Row], Row | None]  # raw row -> the reader's columns; None leaves it out
    drawn: Callable[[str, int], Iterator[Row]]  # (split, count) -> generated raw rows
    config: str | None = None  # the configuration of the hub's data set
    rules: Rules = field(default_factory=Rules)
    official: Rules | None = None  # the rules of the benchmark's own code
    beside: str | None = None  # another stored split whose rows are added

    @property
    def module(self) -> str:
        """The name of the module in which the format is declared."""
        return f"mssr_rl.envs.{self.name}"


@dataclass(frozen=True, kw_only=True)
class SetOptions:
    """Which problems are used, and how they are posed: options of every data set.

    Args:
        data: drawn, real, a hub id of the same format, or a copy on disk.
        instruction: the text that is added to each problem: short, paper (MSSR's words) or none.
        limit: take only the first problems of the split.
        reward: accuracy, a sum such as 0.9*accuracy+0.1*format, or random.
        blind: make all pictures grey, to measure how much is guessed.
        columns: {role: column}, where the rows have other columns than the data set.
    """

    data: str = "drawn"
    instruction: str = INSTRUCTION
    limit: int | None = None
    reward: str = "accuracy"
    blind: bool = False
    columns: str = ""


DRAWN = {"train": 512, "val": 120, "test": 240}


def registered(form: Format) -> Callable[..., ProblemEnv]:
    """Register a factory for the format, with the usual options, and return the factory."""

    def make(*, split: str = "test", chosen: SetOptions = SetOptions()) -> ProblemEnv:
        return environment(form, split, chosen)

    return _named(make, form)


def registered_with_official(form: Format) -> Callable[..., ProblemEnv]:
    """Register and return a factory for a format that also has official rules.

    Its option `scoring` chooses between the rules.
    """

    def make(
        *,
        split: str = "test",
        scoring: Literal["ours", "official"] = "ours",
        chosen: SetOptions = SetOptions(),
    ) -> ProblemEnv:
        return environment(form, split, chosen, scoring)

    return _named(make, form, "scoring: ours, or official: the rule of the set's own code.")


def _named(make: Callable[..., ProblemEnv], form: Format, *more: str) -> Callable[..., ProblemEnv]:
    lines = ("split: train, val or test, where the set has them.", *more)
    args = "".join(f"        {line}\n" for line in lines)
    make.__doc__ = f"{form.about}\n\n    Args:\n{args}    "
    make.__name__, make.__module__ = form.name, form.module
    return register(form.name, gym_id=form.gym_id)(make)


def environment(form: Format, split: str, chosen: SetOptions, scoring: str = "ours") -> ProblemEnv:
    """Return the environment of a format over the chosen rows."""
    posed = problems(form, split, chosen)
    if scoring == "official" and form.official is not None:
        form = replace(form, rules=form.official)  # these rules also say whether a gold answer pays
    else:
        posed = good_golds(posed, f"{form.name} {chosen.data}", form.rules)
    return ProblemEnv(
        posed,
        name=form.name,
        split=split,
        instruction=chosen.instruction,
        rules=form.rules,
        reward=chosen.reward,
        blind=chosen.blind,
    )


def problems(form: Format, split: str, chosen: SetOptions) -> list[Problem]:
    """Return the problems of one split.

    Raises UserError if the split does not exist or a row cannot be read; the message names it.
    """
    source = source_of(form, split, chosen)
    if chosen.columns:
        return reader.problems(source, split, chosen.limit, chosen.columns)
    if form.beside and (other := _stored_beside(form, split, chosen)):
        source = _with_rows_of(source, other)
    rows = source._replace(rows=lambda: _normalised(form, source))
    return reader.normalised(rows, split, chosen.limit)


def _with_rows_of(source: sources.Source, other: sources.Source) -> sources.Source:
    return source._replace(rows=lambda: chain(source.rows(), other.rows()))


def _at(form: Format, split: str) -> Format:
    return replace(form, splits={split: (str(form.beside),)}, beside=None)


def _stored_beside(form: Format, split: str, chosen: SetOptions) -> sources.Source | None:
    """Return the source of the added rows in a copy on disk, or None if there are none to add.

    Generated data have none, and a single file already holds all rows.
    """
    if chosen.data == "drawn" or Path(chosen.data).expanduser().is_file():
        return None
    return source_of(_at(form, split), split, chosen)


def source_of(form: Format, split: str, chosen: SetOptions) -> sources.Source:
    """Return the source of the raw rows that are used as `split`."""
    if split not in form.splits:
        raise sources.NoSuchSplit(
            f"{form.name} has no {split} split, it is a benchmark: its splits are"
            f" {', '.join(form.splits)}; train on another environment"
        )
    if chosen.data == "drawn":
        count = min(chosen.limit or DRAWN[split], DRAWN[split])
        name = f"drawn {form.name}"
        return sources.Source(name, split, False, None, lambda: form.drawn(split, count))
    data = form.hub if chosen.data == "real" else chosen.data
    path = Path(data).expanduser()
    if path.is_dir() and (path / form.name).is_dir():
        path = path / form.name
    if path.exists():
        return sources.named(path, split, form.splits[split])
    from mssr_rl.data.hub import named_source

    return named_source(data, (split, form.splits[split]), form.config)


def text_of(row: Row, column: str) -> str:
    """Return the text in a column; a missing or null value is an empty text."""
    value = row.get(column)
    return "" if value is None else str(value)


def pictures_of(row: Row, *columns: str) -> list[Any]:
    """Return the pictures of the first of these columns that has any; [] if none has."""
    for column in columns:
        value = row.get(column)
        if value is not None and value != "":
            return list(value) if isinstance(value, list | tuple) else [value]
    return []


def _normalised(form: Format, source: sources.Source) -> Iterator[Row]:
    for i, raw in enumerate(source.rows()):
        try:
            row = form.row(raw)
            if row is not None:
                _refuse_unread(raw, row, f"{source.name} row {i}")
        except UserError as error:
            row_faults.met(error)
            continue
        except KeyError as error:
            there = ", ".join(map(str, raw))
            missing = f"has no column {error.args[0]!r}, which {form.name} has; found {there}"
            row_faults.met(UserError(f"{source.name} row {i} {missing}"))
            continue
        except ValueError as error:
            row_faults.met(UserError(f"{source.name} row {i}: {error}"))
            continue
        if row is not None:
            yield row


def _refuse_unread(raw: Row, row: Row, where: str) -> None:
    if missed := column_content.unread(raw, row.get("images") or ()):
        raise UserError(
            f"{where}: the column {missed[0]!r} holds pictures, and this format does not read it;"
            f" set env.columns={{images: {missed[0]}}} to read the rows by their columns"
        )


def scored(form: Format, **rules: Any) -> Format:
    """Return the format with some of its grading rules replaced."""
    return replace(form, rules=replace(form.rules, **rules))
