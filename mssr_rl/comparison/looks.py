"""Every look at a comparison, written down in its folder: looks.jsonl.

A look is a report made from a set of finished runs; the same runs read twice are one look. A line
an entry, in the order of time:

    {"look": 1, "planned": 5, "seeds": 5, "runs": 25, "rule": margin, baseline and alpha,
     "data": hash of what was read, "at": time, "previous": hash of the line before}

No word depends on how many lines there are: when words are given is fixed by the planned number of
seeds alone (`stats.sequential`). The record shows what was read when, and that the plan is older
than the results. What cannot be: the file deleted and the rest of the folder edited to fit. So its
lines hold each other by hashes, compare.json knows how many there were when training last began,
and the times of the runs show where nothing ran and somebody may have looked.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import files, untrusted
from mssr_rl.comparison import accuracy
from mssr_rl.comparison.document import LookRow, Looks, PastReport
from mssr_rl.comparison.evidence import COUNTED, DROPPED, LOOKS, ComparedRun, Evidence
from mssr_rl.comparison.headline import both
from mssr_rl.run.runlog import now
from mssr_rl.stats.familywise import Stage
from mssr_rl.stats.sequential import Analysis, following, reached

ENDED = (*COUNTED, DROPPED, "failed")  # nothing more will come of it, unless it is tried again
MOST = 10_000  # looks
PATIENCE = timedelta(minutes=10)  # beyond twice the longest run, between the ends of two runs


class Entry(NamedTuple):
    """One line of looks.jsonl, without its time."""

    planned: int
    seeds: int  # finished
    runs: int  # that counted
    rule: str  # what was asked of them
    data: str


class Record(NamedTuple):
    """The whole file."""

    entries: tuple[Entry, ...]
    last: str  # hash of the last line; empty without one
    fault: str  # what is wrong with it; empty if nothing


def read_looks(folder: Path) -> Record:
    """The looks so far. A damaged file is no error: the report says what is wrong with it."""
    try:
        content = untrusted.content(folder / LOOKS, within=folder)
    except FileNotFoundError:
        return Record((), "", "")
    except untrusted.Unusable:
        return Record((), "", f"{LOOKS} cannot be read")  # without its path: reports may move
    entries: list[Entry] = []
    last = ""
    for number, line in enumerate(content.splitlines(), 1):
        if number > MOST:
            return Record(tuple(entries), last, f"{LOOKS} has more than {MOST:,} lines")
        try:
            found = untrusted.parsed(line, LOOKS)
            plan, seeds, runs = (int(found[name]) for name in ("planned", "seeds", "runs"))
            entry = Entry(plan, seeds, runs, str(found["rule"]), str(found["data"]))
        except (untrusted.Unusable, ValueError, KeyError, TypeError):
            return Record(tuple(entries), last, f"line {number} of {LOOKS} cannot be read")
        if found.get("previous") != last or found.get("look") != number:
            return Record(tuple(entries), last, f"line {number} of {LOOKS} does not follow")
        entries.append(entry)
        last = _digest(line)
    return Record(tuple(entries), last, "")


def record_look(evidence: Evidence) -> None:
    """Add a look at the runs as they stand, unless the last one was at the same, or there is none.

    A damaged file is left as it is.
    """
    known = read_looks(evidence.folder)
    entry = _now(evidence, known)
    if known.fault or entry is None or entry in known.entries[-1:]:
        return
    head = {"look": len(known.entries) + 1}
    line = {**head, **entry._asdict(), "at": now(), "previous": known.last}
    path = evidence.folder / LOOKS
    before = untrusted.content(path) if known.entries else b""
    files.write_bytes(path, before + json.dumps(line).encode("ascii") + b"\n")


def _now(evidence: Evidence, known: Record) -> Entry | None:
    """The look that a report of the runs as they stand is; the last one's, if that was the same."""
    counted = [run for run in evidence.runs if run.counts]
    if not counted:
        return None
    asked, data = _rule(evidence), _data(evidence)
    if known.entries and (known.entries[-1].rule, known.entries[-1].data) == (asked, data):
        return known.entries[-1]
    return Entry(planned(evidence, known), complete(evidence), len(counted), asked, data)


def marked(folder: Path) -> dict[str, Any]:
    """What compare.json keeps of the looks."""
    known = read_looks(folder)
    return {"count": len(known.entries), "last": known.last}


def complete(evidence: Evidence) -> int:
    """How many seeds, from the first on, have nothing left to come."""
    ended = {run.seed: True for run in evidence.runs}
    given_up = evidence.compare.get("given_up") or ()  # crashed twice, and may not even say so
    for run in evidence.runs:
        ended[run.seed] &= run.state in ENDED or run.name in given_up
    seeds: Sequence[int] = evidence.compare["seeds"]
    return next((i for i, seed in enumerate(seeds) if not ended.get(seed, False)), len(seeds))


def planned(evidence: Evidence, known: Record) -> int:
    """The seeds that were planned before anything was read.

    A comparison of a version that did not record them was planned with what it was first read at.
    """
    told = evidence.compare["rule"].get("planned")
    first = known.entries[0].planned if known.entries else len(evidence.compare["seeds"])
    return first if told is None else int(told)


def stage(evidence: Evidence, known: Record, alpha: float) -> Stage:
    """Where the comparison stands: its plan, the newest look that gives words, and that's seeds."""
    plan = planned(evidence, known)
    look = reached(complete(evidence), plan, alpha)
    return Stage(plan, look, tuple(evidence.compare["seeds"][: look.seeds]) if look else ())


def summary(evidence: Evidence, alpha: float) -> Looks:
    """All of it for report.json, this look included, whether it has been written down or not."""
    known = read_looks(evidence.folder)
    at, done = stage(evidence, known, alpha), complete(evidence)
    after, entry = following(done, at.planned, alpha), _now(evidence, known)
    new = [entry] if entry and entry not in known.entries[-1:] else []
    return Looks(
        planned=at.planned,
        complete=done,
        newest=LookRow(*at.look) if at.look else None,
        next=LookRow(*after),
        recorded=tuple(PastReport(one.seeds, one.runs) for one in (*known.entries, *new)),
        says=says(done, at, after) if entry else "",
        cautions=tuple(_cautions(evidence, known, at)),
    )


def says(done: int, at: Stage, after: Analysis) -> str:
    """What a reader must know before asking for more seeds."""
    again = (
        f"Every further look gives chance another try, so the next word is given at {after.seeds} "
        f"seeds and asks for an adjusted p below {after.level:.3g}; in between no word changes."
    )
    if at.look is None:
        return (
            f"No verdict yet: words are given when the first {after.seeds} seeds have come to an "
            f"end, and {done} {'has' if done == 1 else 'have'}."
        )
    these = f"Words are those of look {at.look.number}, at {at.look.seeds} seeds"
    if done > at.look.seeds:
        these += f", though {done} are finished"
    return f"{these}: an adjusted p below {at.look.level:.3g} decides. {again}"


def _cautions(evidence: Evidence, known: Record, at: Stage) -> Iterator[str]:
    if known.fault:
        yield f"The record of looks was changed: {known.fault}."
    marks: Mapping[str, Any] = evidence.compare.get("looks") or {}
    if int(marks.get("count", 0)) > len(known.entries) and not known.fault:
        yield (
            f"The record of looks was changed: {LOOKS} has {len(known.entries)}, and there were "
            f"{marks['count']} when training last began."
        )
    if known.entries and known.entries[0].planned != at.planned:
        yield (
            f"The plan was changed after a look: {known.entries[0].planned} seeds were planned at "
            f"the first, now compare.json says {at.planned}."
        )
    if other := sorted({one.rule for one in known.entries} - {_rule(evidence)}):
        yield f"The question was changed after a look, which was read with {'; '.join(other)}."
    seen = {one.seeds for one in known.entries}
    for seeds in _pauses(evidence):
        if seeds not in seen:
            yield (
                f"Nothing ran for a while after {seeds} seed{'s' * (seeds != 1)} had ended, and no "
                f"look is recorded there. If somebody read results then, the plan of {at.planned} "
                "seeds must be older."
            )
    early = [str(one.seeds) for one in known.entries if one.seeds < at.planned]
    if early and at.look is not None:
        at_seeds = both(list(dict.fromkeys(early)))
        yield f"Read before the planned seeds were finished, without words: at {at_seeds} seeds."


def _pauses(evidence: Evidence) -> Iterator[int]:
    """Numbers of seeds after whose end nothing ended for longer than the runs take."""
    ends = {seed: _ends(evidence.runs, seed) for seed in evidence.compare["seeds"]}
    longest = max((s for run in evidence.runs if (s := _seconds(run)) is not None), default=None)
    seeds: Sequence[int] = evidence.compare["seeds"]
    for n in range(1, len(seeds)):
        before = [end for seed in seeds[:n] for end in ends[seed]]
        after = [end for seed in seeds[n:] for end in ends[seed]]
        if longest is None or not before or not after:
            continue
        if min(after) - max(before) > 2 * timedelta(seconds=longest) + PATIENCE:
            yield n


def _ends(runs: Sequence[ComparedRun], seed: int) -> list[datetime]:
    found = []
    for run in runs:
        if run.seed == seed and run.files:
            try:
                found.append(datetime.fromisoformat(str(run.files.run.get("ended"))))
            except ValueError:
                continue  # not ended, or of a version that did not note it
    return [end for end in found if end.tzinfo is not None]


def _seconds(run: ComparedRun) -> float | None:
    """How long a run took, charged."""
    found = run.summary.get("ledger", {}).get("seconds")
    return float(found) if isinstance(found, (int, float)) else None


def _rule(evidence: Evidence) -> str:
    told = evidence.compare["rule"]
    return ", ".join(f"{name}={told.get(name)}" for name in ("margin", "baseline", "alpha"))


def _data(evidence: Evidence) -> str:
    """A hash of the answers that decide, whatever their order in the files."""
    answers = {
        run.name: sorted(accuracy.right(row).items())
        for run in evidence.runs
        if run.counts and (row := run.last("test") or run.last("val"))
    }
    return _digest(json.dumps(answers, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
