"""`report verify=FOLDER`: compute a comparison's report again from its raw files, and compare.

Works on the folder alone, wherever it lies. Three questions, in the order that helps: is every
raw file the one the report was made from; does each evaluation's accuracy follow from its
problems; do report.json, report.md, table.tex and report.html say what comes out of them? Files
drawn by another version of mssr_rl are checked by their numbers, in report.json.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from math import isclose
from pathlib import Path
from typing import Any

from mssr_rl.comparison import accuracy, page
from mssr_rl.comparison.evidence import Evidence, read, sources
from mssr_rl.comparison.findings import findings, made_by
from mssr_rl.comparison.race import settled
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.report.text import excerpt

MOST = 10  # faults that are named
CONTEXT = 40  # characters either side of a difference


def verify(folder: Path) -> str:
    """A sentence that all is as it was; `RunFailed` names what is not."""
    evidence, said = settled(read(folder)), _said(folder / "report.json")
    faults = [*_changed(evidence, said), *_untrue(evidence)]
    again = _again(evidence, faults)
    same_version = said.get("made_by") == made_by()
    if not same_version:
        again = {**again, "made_by": said.get("made_by")}
    numbers = [f"report.json: {fault}" for fault in _different(again, said)]
    faults += numbers
    faults += _drawn(folder, page.contents(evidence, again)) if same_version else []
    if faults:
        more = f"; and {len(faults) - MOST} more" if len(faults) > MOST else ""
        raise RunFailed(f"{folder} does not hold together: {'; '.join(faults[:MOST])}{more}")
    checked = sum(1 for _ in _numbers(again))
    drawn = "" if same_version else f" (drawn by version {said.get('made_by')}: numbers only)"
    return (
        f"verified  {checked:,} numbers of {folder} follow from its {len(said['sources'])} "
        f"raw files{drawn}"
    )


def _again(evidence: Evidence, faults: Sequence[str]) -> dict[str, Any]:
    """The document anew; files that were changed may no longer allow one."""
    try:
        return findings(evidence)
    except UserError as error:
        raise RunFailed("; ".join([*faults[:MOST], f"no report can be made: {error}"])) from None


def _said(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is not there, so there is nothing to verify") from None
    except ValueError as error:
        raise RunFailed(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise RunFailed(f"{path} holds no report")
    return found


def _changed(evidence: Evidence, said: Mapping[str, Any]) -> Iterator[str]:
    """Raw files that are not those the report was made from."""
    now, then = sources(evidence), said.get("sources", {})
    for name in sorted({*now, *then}):
        if name not in now:
            yield f"{name} is missing"
        elif name not in then:
            yield f"{name} came after the report"
        elif now[name] != then[name]:
            yield f"{name} was changed after the report was made"


def _untrue(evidence: Evidence) -> Iterator[str]:
    """Evaluations whose own accuracy does not follow from their problems."""
    kinds = (("accuracy", accuracy.GREEDY), ("accuracy_sampled", accuracy.SAMPLED))
    for run in evidence.runs:
        for row in run.evaluations:
            for name, kind in kinds:
                value = accuracy.mean_right(row, kind)
                if value is not None and not isclose(value, row[name], abs_tol=1e-9):
                    yield (
                        f"runs/{run.name}/eval.jsonl: {name} on {row['split']} at step "
                        f"{row['step']} is {row[name]:.6g}, its problems say {value:.6g}"
                    )


def _different(now: Any, then: Any, path: str = "") -> Iterator[str]:
    """Every leaf of the document that does not come out the same."""
    if path == "sources":
        return  # `_changed` has named them
    if isinstance(now, dict) and isinstance(then, dict):
        for key in [*now, *(key for key in then if key not in now)]:
            where = f"{path}.{key}" if path else str(key)
            yield from _different(now.get(key), then.get(key), where)
    elif isinstance(now, list) and isinstance(then, list):
        for i, (a, b) in enumerate(zip_longest(now, then)):
            yield from _different(a, b, f"{path}[{i}]")
    elif not _equal(now, then):
        yield f"{path} is {then!r}, the runs say {now!r}"


def _equal(now: Any, then: Any) -> bool:
    if isinstance(now, float) and isinstance(then, (int, float)):
        return isclose(now, then, rel_tol=1e-9, abs_tol=1e-12)
    return bool(now == then)


def _drawn(folder: Path, contents: Mapping[str, bytes]) -> Iterator[str]:
    """Where a file differs from what would be written, and what stands there."""
    for name, wanted in contents.items():
        path = folder / name
        if name == "report.json":
            continue  # compared number by number
        if not path.exists():
            yield f"{name} is missing"
        elif (found := path.read_bytes()) != wanted:
            yield f"{name}: {_first_difference(found, wanted)}"


def _first_difference(found: bytes, wanted: bytes) -> str:
    pairs = enumerate(zip_longest(found, wanted))
    at = next(i for i, (a, b) in pairs if a != b)
    here, there = (
        excerpt(text[max(0, at - CONTEXT) : at + CONTEXT].decode("utf-8", "replace"), 200).text
        for text in (found, wanted)
    )
    line = found.count(b"\n", 0, at) + 1
    return f"line {line} has {here!r}, the runs say {there!r}"


def _numbers(tree: Any) -> Iterator[float]:
    if isinstance(tree, dict):
        for value in tree.values():
            yield from _numbers(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _numbers(value)
    elif isinstance(tree, (int, float)) and not isinstance(tree, bool):
        yield tree
