"""Summarise a run's evaluations: accuracy at start and end, as text and tables. Pure functions.

Greedy accuracy counts the policy's most likely answer. Sampled accuracy is the mean over several
answers to each problem at temperature 1. They are reported separately, because a sharper policy
raises only the second.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import NamedTuple

from mssr_rl.report.panels import value
from mssr_rl.report.runfiles import Row
from mssr_rl.report.text import percent
from mssr_rl.stats import Interval, paired_change, wilson

MODES = {"accuracy": "greedy", "accuracy_sampled": "sampled"}
RIGHT = {"accuracy": "per_problem", "accuracy_sampled": "per_problem_sampled"}  # right answers each
CAUTION = (
    "The intervals describe the choice of questions, not the spread between training runs. This is "
    "one run with one seed, and one seed cannot show which algorithm is better."
)


class AccuracyChange(NamedTuple):
    """One kind of accuracy on one set of problems, at the start and at the end."""

    env: str
    split: str
    mode: str
    n: int
    samples: int | None  # answers per problem; None for greedy accuracy
    start: float | None  # None if it was measured only once
    end: Interval
    change: Interval | None
    first_step: int
    last_step: int


class TagRow(NamedTuple):
    """Start and end accuracy on the problems that share a tag."""

    name: str
    n: int
    greedy: tuple[float | None, float | None]
    sampled: tuple[float | None, float | None]

    @property
    def interval(self) -> Interval | None:
        """Wilson's 95 % interval of the greedy accuracy at the end; None if it is unknown."""
        end = self.greedy[1]
        return None if end is None or not self.n else wilson(end, self.n)


class Breakdown(NamedTuple):
    """The accuracy by the values of one tag, such as family or level."""

    tag: str
    split: str
    rows: tuple[TagRow, ...]

    @property
    def margin(self) -> float:
        """Half the width of the widest possible 95 % interval of a row.

        It is the interval of an accuracy of 50 % in the row with the fewest problems.
        """
        return wilson(0.5, min(row.n for row in self.rows)).high - 0.5


def scores(evaluations: Sequence[Row]) -> tuple[AccuracyChange, ...]:
    """Return the accuracies of each set of problems: val before test, greedy before sampled."""
    return tuple(
        _score(key, rows)
        for rows in _sets(evaluations)
        for key in MODES
        if isfinite(value(rows[-1], key))
    )


def sentence(found: Sequence[AccuracyChange], overlap: object = None) -> str:
    """Return the result in words: one sentence for each set of problems.

    `overlap` is the list in run.json of rows that two splits share; None if this was not checked.
    """
    sets: dict[tuple[str, str], list[AccuracyChange]] = {}
    for score in found:
        sets.setdefault((score.env, score.split), []).append(score)
    lines = [f"{_where(s[0], overlap)}, {' and '.join(map(_clause, s))}." for s in sets.values()]
    return " ".join(lines) or "Not evaluated yet."


def breakdowns(evaluations: Sequence[Row]) -> tuple[Breakdown, ...]:
    """Return one table per tag, for the first set of problems."""
    rows = next(iter(_sets(evaluations)), [])
    if not rows:
        return ()
    first, last = (_tags(rows[0]) if len(rows) > 1 else {}), _tags(rows[-1])
    split = str(rows[-1].get("split", ""))
    return tuple(
        Breakdown(tag, split, tuple(_tag_rows(first.get(tag, {}), names)))
        for tag, names in last.items()
    )


SPLITS = {"val": "validation", "test": "test"}


def _sets(evaluations: Sequence[Row]) -> list[list[Row]]:
    """Return lists of evaluations, one list per environment and split: val first, oldest first."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in evaluations:
        key = (str(row.get("env", "")), str(row.get("split", "val")))
        groups.setdefault(key, []).append(row)
    order = sorted(groups, key=lambda key: key[1] != "val")
    return [sorted(groups[key], key=lambda row: float(row["step"])) for key in order]


def _score(key: str, rows: Sequence[Row]) -> AccuracyChange:
    first, last = rows[0], rows[-1]
    mode, n = MODES[key], int(last.get("n", 0))
    start = value(first, key)
    twice = len(rows) > 1 and isfinite(start)
    return AccuracyChange(
        env=str(last.get("env", "")),
        split=str(last.get("split", "val")),
        mode=mode,
        n=n,
        samples=last.get("samples") if mode == "sampled" else None,
        start=start if twice else None,
        end=wilson(value(last, key), n),
        change=_change(_shares(first, key), _shares(last, key)) if twice else None,
        first_step=int(first["step"]),
        last_step=int(last["step"]),
    )


def _shares(row: Row, key: str) -> Mapping[str, float]:
    """Return {problem: share of right answers} for one kind of accuracy.

    Greedy accuracy has one answer per problem, sampled accuracy has `samples`.
    """
    right = row.get(RIGHT[key])
    answers = row.get("samples", 1) if key == "accuracy_sampled" else 1
    return {k: r / answers for k, r in right.items()} if isinstance(right, dict) else {}


def _change(before: Mapping[str, float], after: Mapping[str, float]) -> Interval | None:
    if before.keys() != after.keys():
        return None
    return paired_change([before[key] for key in after], list(after.values()))


def _clause(score: AccuracyChange) -> str:
    """Return one accuracy in words; they say "rose" or "fell" only if the interval excludes 0."""
    kind = f"{score.mode} accuracy"
    end = percent(score.end.value)
    if score.mode == "greedy":
        end += f" (95\u00a0% interval {100 * score.end.low:.1f} to {100 * score.end.high:.1f})"
    if score.start is None:
        return f"{kind} is {end}"
    start, change = percent(score.start), score.change
    if change is not None and change.low <= 0 <= change.high:
        return f"{kind} did not change significantly: {start} at the start, {end} at the end"
    word = "went" if change is None else "rose" if change.value > 0 else "fell"
    return f"{kind} {word} from {start} to {end}"


def _where(score: AccuracyChange, overlap: object) -> str:
    """Return a name for the set of problems.

    It is called held-out only if a check found no problem shared with the training problems.
    """
    name = SPLITS.get(score.split, score.split)
    compared = _with_training(score.split, overlap)
    if compared is None:
        return f"On {score.n:,} {name} problems"
    rows = compared.get("rows")
    if rows or compared.get("stands_in"):
        count = f"{rows:,} of {compared.get('of'):,}" if isinstance(rows, int) and rows else "all"
        word = (
            "nearly the same as training problems"
            if rows and rows == compared.get("near")
            else "training problems too"
        )
        return f"On {score.n:,} {name} problems ({count} are {word})"
    return f"On {score.n:,} held-out {name} problems"


def _with_training(split: str, overlap: object) -> Row | None:
    """Return the entry of run.json about rows that `split` shares with train.

    None if this was not checked.
    """
    for entry in overlap if isinstance(overlap, list) else ():
        if isinstance(entry, Mapping) and (entry.get("split"), entry.get("with")) == (
            split,
            "train",
        ):
            return entry
    return None


def _tags(row: Row) -> Mapping[str, Mapping[str, Row]]:
    found = row.get("by_tag")
    return found if isinstance(found, dict) else {}


def _tag_rows(first: Mapping[str, Row], last: Mapping[str, Row]) -> Iterable[TagRow]:
    for name in sorted(last, key=_natural):
        before, after = first.get(name, {}), last[name]
        greedy, sampled = ((_share(before, key), _share(after, key)) for key in MODES)
        yield TagRow(name, int(after.get("n", 0)), greedy, sampled)


def _share(row: Row, key: str) -> float | None:
    share = value(row, key)
    return share if isfinite(share) else None


def _natural(name: str) -> list[tuple[int, str]]:
    # A sort key that puts "level 10" after "level 2".
    return [(int(p), "") if p.isdecimal() else (-1, p) for p in re.split(r"(\d+)", name) if p]
