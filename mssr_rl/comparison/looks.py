"""Record every look at a comparison in the file looks.jsonl of its folder.

A look is a report of a set of finished runs. Two reports of the same runs are one look. The file
has one line per look, oldest first:

    {"look": 1, "planned": 5, "seeds": 5, "runs": 25, "rule": margin, baseline and alpha,
     "data": hash of the answers, "at": time, "previous": hash of the line before}

The number of looks changes no verdict: the planned number of seeds alone fixes when verdicts are
given (`stats.sequential`). The record shows which results were read at which time. It also shows
that the plan was made before the results.

Somebody could delete or edit the file to hide a look. Three records make this visible. Each line
holds the hash of the line before it. compare.json holds the number of lines at the last start of
training. The end times of the runs show pauses in which somebody may have looked.
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

ENDED = (*COUNTED, DROPPED, "failed")  # states of a run that has ended; a failed run can be retried
MOST = 10_000  # looks
PATIENCE = timedelta(minutes=10)  # a pause is longer than twice the longest run plus this


class Entry(NamedTuple):
    """The content of one line of looks.jsonl, without its time, number and hash."""

    planned: int
    seeds: int  # finished seeds
    runs: int  # runs that counted
    rule: str  # margin, baseline and alpha
    data: str  # hash of the answers that decide the verdicts


class Record(NamedTuple):
    """The content of looks.jsonl."""

    entries: tuple[Entry, ...]
    last: str  # hash of the last line; empty if there is none
    fault: str  # what is wrong with the file; empty if nothing is


def read_looks(folder: Path) -> Record:
    """Return the recorded looks.

    A damaged file raises no error; `Record.fault` then describes the damage.
    """
    try:
        content = untrusted.content(folder / LOOKS, within=folder)
    except FileNotFoundError:
        return Record((), "", "")
    except untrusted.Unusable:
        # Without the path, so that the report stays the same when the folder is moved.
        return Record((), "", f"{LOOKS} cannot be read")
    entries: list[Entry] = []
    last = ""
    for number, line in enumerate(content.splitlines(), 1):
        if number > MOST:
            return Record(tuple(entries), last, f"{LOOKS} has more than {MOST:,} lines")
        try:
            fields = untrusted.parsed(line, LOOKS)
            plan, seeds, runs = (int(fields[name]) for name in ("planned", "seeds", "runs"))
            entry = Entry(plan, seeds, runs, str(fields["rule"]), str(fields["data"]))
        except (untrusted.Unusable, ValueError, KeyError, TypeError):
            return Record(tuple(entries), last, f"line {number} of {LOOKS} cannot be read")
        if fields.get("previous") != last or fields.get("look") != number:
            fault = f"line {number} of {LOOKS} does not continue the line before it"
            return Record(tuple(entries), last, fault)
        entries.append(entry)
        last = _digest(line)
    return Record(tuple(entries), last, "")


def record_look(evidence: Evidence) -> None:
    """Add a look at the present runs to looks.jsonl.

    Nothing is added if no run counts, or if the last look read the same runs. A damaged file is not
    changed.
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
    """Return the look at the present runs; None if no run counts.

    If the last recorded look read the same runs, that look is returned.
    """
    counted = [run for run in evidence.runs if run.counts]
    if not counted:
        return None
    rule, data = _rule(evidence), _data(evidence)
    if known.entries and (known.entries[-1].rule, known.entries[-1].data) == (rule, data):
        return known.entries[-1]
    return Entry(planned(evidence, known), complete(evidence), len(counted), rule, data)


def marked(folder: Path) -> dict[str, Any]:
    """Return the number of looks and the hash of the last line, for compare.json."""
    known = read_looks(folder)
    return {"count": len(known.entries), "last": known.last}


def complete(evidence: Evidence) -> int:
    """Return how many seeds are complete, counted from the first one without a gap.

    A seed is complete if all of its runs have ended.
    """
    ended = {run.seed: True for run in evidence.runs}
    given_up = evidence.compare.get("given_up") or ()  # crashed twice; their run.json may not show
    for run in evidence.runs:
        ended[run.seed] &= run.state in ENDED or run.name in given_up
    seeds: Sequence[int] = evidence.compare["seeds"]
    return next((i for i, seed in enumerate(seeds) if not ended.get(seed, False)), len(seeds))


def planned(evidence: Evidence, known: Record) -> int:
    """Return the number of seeds that were planned before anybody read a result.

    Old comparisons do not record it in compare.json. For these it is the plan of the first look.
    """
    recorded = evidence.compare["rule"].get("planned")
    first = known.entries[0].planned if known.entries else len(evidence.compare["seeds"])
    return first if recorded is None else int(recorded)


def stage(evidence: Evidence, known: Record, alpha: float) -> Stage:
    """Return the planned number of seeds, the newest look that gives verdicts, and its seeds."""
    plan = planned(evidence, known)
    look = reached(complete(evidence), plan, alpha)
    return Stage(plan, look, tuple(evidence.compare["seeds"][: look.seeds]) if look else ())


def summary(evidence: Evidence, alpha: float) -> Looks:
    """Return the part of report.json about looks. It includes the present look."""
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
    """Return sentences on the verdicts of this look, and on when the next verdicts are given.

    `done` is the number of finished seeds, `after` the next look.
    """
    if at.look is None:
        return (
            f"No verdict yet: verdicts are given when all runs of the first {after.seeds} seeds "
            f"have ended; {done} {'seed has' if done == 1 else 'seeds have'} ended so far."
        )
    these = f"The verdicts are those of look {at.look.number}, at {at.look.seeds} seeds"
    if done > at.look.seeds:
        these += f", although {done} seeds are finished"
    return (
        f"{these}; they need an adjusted p below {at.look.level:.3g}. Each further look is another "
        f"chance for a wrong verdict. So the next verdicts are given at {after.seeds} seeds and "
        f"need an adjusted p below {after.level:.3g}. Until then no verdict changes."
    )


def _cautions(evidence: Evidence, known: Record, at: Stage) -> Iterator[str]:
    if known.fault:
        yield f"The record of looks was changed: {known.fault}."
    marks: Mapping[str, Any] = evidence.compare.get("looks") or {}
    if int(marks.get("count", 0)) > len(known.entries) and not known.fault:
        yield (
            f"The record of looks was changed: {LOOKS} had {marks['count']} looks when training "
            f"last began, and now has {len(known.entries)}."
        )
    if known.entries and known.entries[0].planned != at.planned:
        yield (
            f"The plan was changed after a look: {known.entries[0].planned} seeds were planned at "
            f"the first look, but compare.json now says {at.planned}."
        )
    if other := sorted({one.rule for one in known.entries} - {_rule(evidence)}):
        yield f"The rule was changed after a look; that look used {'; '.join(other)}."
    seen = {one.seeds for one in known.entries}
    for seeds in _pauses(evidence):
        if seeds not in seen:
            yield (
                f"Training paused after {seeds} seed{'s' * (seeds != 1)} had ended, and no look is "
                "recorded for that time. If somebody read results then, the verdicts hold only if "
                f"the {at.planned} seeds had been planned before."
            )
    early = [str(one.seeds) for one in known.entries if one.seeds < at.planned]
    if early and at.look is not None:
        at_seeds = both(list(dict.fromkeys(early)))
        yield (
            "Results were read before all planned seeds were finished, without verdicts: at "
            f"{at_seeds} seeds."
        )


def _pauses(evidence: Evidence) -> Iterator[int]:
    """Yield each number of seeds after which training paused.

    A pause is a time in which no run ended. It must be longer than twice the longest run plus
    `PATIENCE`.
    """
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
    ends = []
    for run in runs:
        if run.seed == seed and run.files:
            try:
                ends.append(datetime.fromisoformat(str(run.files.run.get("ended"))))
            except ValueError:
                continue  # the run has not ended, or an old version did not record the time
    return [end for end in ends if end.tzinfo is not None]


def _seconds(run: ComparedRun) -> float | None:
    """Return the time that a run spent of its budget, in seconds; None if it is unknown."""
    seconds = run.summary.get("ledger", {}).get("seconds")
    return float(seconds) if isinstance(seconds, (int, float)) else None


def _rule(evidence: Evidence) -> str:
    rule = evidence.compare["rule"]
    return ", ".join(f"{name}={rule.get(name)}" for name in ("margin", "baseline", "alpha"))


def _data(evidence: Evidence) -> str:
    """Return a hash of the answers that the verdicts use.

    The order of the answers in the files does not change the hash.
    """
    answers = {
        run.name: sorted(accuracy.right(row).items())
        for run in evidence.runs
        if run.counts and (row := run.last("test") or run.last("val"))
    }
    return _digest(json.dumps(answers, sort_keys=True).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
