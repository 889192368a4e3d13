"""Compares two run directories bit for bit, except for wall time.

Used by `resume verify=`, which repeats a part of a run, and by scripts/kill_drill.py, which kills
runs.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mssr_rl import files, untrusted
from mssr_rl.metric_names import is_timing
from mssr_rl.run_streams import STREAMS, whole_rows

Row = Mapping[str, Any]


def stream_differences(
    one: Path, other: Path, last_steps: Mapping[str, int] | None = None
) -> Iterator[str]:
    """Yield a sentence for each .jsonl stream that differs.

    `last_steps` gives the last step to compare per stream; by default all rows are compared.
    """
    for stream in STREAMS:
        last_step = (last_steps or {}).get(stream)
        ours, theirs = (rows(folder, stream, last_step) for folder in (one, other))
        if len(ours) != len(theirs):
            yield f"{stream}.jsonl has {len(ours)} lines here and {len(theirs)} there"
        for mine, yours in zip(ours, theirs, strict=False):
            if mine != yours:
                yield f"{stream}.jsonl differs at step {mine['step']}: {_first(mine, yours)}"
                break


def checkpoint_differences(one: Path, other: Path, *, ended: bool = True) -> Iterator[str]:
    """Yield a sentence for each file that differs between two checkpoint folders.

    With `ended=False`, evaluations at that step are not compared: only one run may have made them.
    """
    here, there = (_files(folder) for folder in (one, other))
    if here.keys() != there.keys():
        yield f"the checkpoints hold other files: {', '.join(sorted(here.keys() ^ there.keys()))}"
    for name in sorted(here.keys() & there.keys()):
        if untrusted.sha256(here[name]) != untrusted.sha256(there[name]):
            yield f"{name} differs"
    ours, theirs = (_state(folder, ended=ended) for folder in (one, other))
    for key in dict.fromkeys((*ours, *theirs)):
        if ours.get(key) != theirs.get(key):
            yield f"state.json: {key} is {ours.get(key)} here and {theirs.get(key)} there"


def rows(folder: Path, stream: str, last_step: int | None = None) -> list[dict[str, Any]]:
    """Return the objects of a stream without their wall time, up to `last_step`.

    An incomplete last line is skipped; a killed run can leave one.
    """
    objects = map(timeless, whole_rows(folder, stream))
    return [row for row in objects if last_step is None or row["step"] <= last_step]


def timeless(row: Row) -> dict[str, Any]:
    """Return a row without the entries that hold wall time."""
    kept = {k: v for k, v in row.items() if not is_timing(k)}
    if isinstance(row.get("budget"), dict):
        kept["budget"] = {k: v for k, v in row["budget"].items() if k != "seconds"}
    return kept


def _state(folder: Path, *, ended: bool) -> dict[str, Any]:
    """Return the content of state.json, without wall time and without sizes that depend on it."""
    state = untrusted.read_object(folder / "state.json")
    del state["stream_sizes"]
    left_out = {"seconds", "seconds_by_phase"} | (set() if ended else {"evaluation_rollouts"})
    ledger = state.pop("ledger")
    if not ended:
        state["scores"] = [s for s in state["scores"] if s["step"] < state["step"]]
    return {**state, **{f"ledger.{k}": v for k, v in ledger.items() if k not in left_out}}


def _first(mine: Row, yours: Row) -> str:
    key = next(key for key in (*mine, *yours) if mine.get(key) != yours.get(key))
    return f"{key} is {mine.get(key)!r} here and {yours.get(key)!r} there"


def _files(folder: Path) -> dict[str, Path]:
    clocked = {"state.json", "manifest.json"}  # these hold seconds, or a hash of seconds
    named = {path.relative_to(folder).as_posix(): path for path in files.below(folder)}
    return {name: path for name, path in named.items() if name not in clocked}
