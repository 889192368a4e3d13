"""`report verify=FOLDER`: is a comparison's report what its runs say? Works on the folder alone.

Everything is computed and drawn again from the raw files, and compared: report.json value by value,
report.md, table.tex and report.html byte by byte, as the version that report.json names wrote them
(`versions`). What was not checked is said.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import isclose
from pathlib import Path
from typing import Any

from mssr_rl import untrusted
from mssr_rl.comparison import accuracy, document
from mssr_rl.comparison.evidence import Evidence, read, sources
from mssr_rl.comparison.findings import findings, made_by
from mssr_rl.comparison.outcome import Outcome, joined
from mssr_rl.comparison.race import settled
from mssr_rl.comparison.versions import VERSIONS, Version, version_of
from mssr_rl.config.words import read as read_words
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.report.text import excerpt
from mssr_rl.typed import option

MOST = 10  # faults that are named
CONTEXT = 40  # characters either side of a difference
DRAWN = ("report.html", "report.md", "table.tex")


@dataclass(frozen=True, kw_only=True)
class VerifyWords:
    """What `report verify=` is told."""

    verify: str = option("the folder of a comparison")


def main(arguments: Sequence[str]) -> str:
    """Verify the comparison that the words name."""
    return verify(Path(read_words(VerifyWords, arguments).verify))


def verify(folder: Path) -> str:
    """What holds and what was not checked, in lines; `RunFailed` names what does not hold."""
    evidence = settled(read(folder))
    said = _said(folder / "report.json")
    version = VERSIONS[version_of(said)]
    again, broken = _again(evidence, version, said)
    checks = [
        Outcome(faults=tuple(_changed(evidence, said))),
        Outcome(faults=tuple(_untrue(evidence))),
        Outcome(faults=(broken,)) if broken else _report(folder, evidence, said, again),
    ]
    return _told(folder, said, again, joined(checks))


def _told(folder: Path, said: Mapping[str, Any], again: Any, found: Outcome) -> str:
    if found.faults:
        faults = found.faults
        more = f"; and {len(faults) - MOST} more" if len(faults) > MOST else ""
        raise RunFailed(f"{folder} does not hold together: {'; '.join(faults[:MOST])}{more}")
    count = sum(1 for _ in _numbers(again))
    lines = [
        f"{count:,} numbers of {folder} follow from its {len(said['sources'])} raw files",
        f"{', '.join(DRAWN)} say just that (version {version_of(said)} of the report)",
        *found.checked,
    ]
    return "\n".join(
        [f"verified     {one}" for one in lines]
        + [f"not checked  {one}" for one in found.unchecked]
    )


def _said(path: Path) -> dict[str, Any]:
    try:
        return untrusted.record(path, once=True)
    except FileNotFoundError:
        raise UserError(f"{path} is not there, so there is nothing to verify") from None
    except untrusted.Unusable as error:
        raise RunFailed(f"{path} cannot be read: {error}") from None


def _again(
    evidence: Evidence, version: Version, said: Mapping[str, Any]
) -> tuple[dict[str, Any], str]:
    """The document anew, as that version had it; or why changed files no longer allow one."""
    try:
        again = version.document(evidence, document.plain(findings(evidence)))
    except (UserError, KeyError, TypeError, ValueError, AttributeError) as error:
        return {}, f"no report can be made of the runs: {error!r}"
    return {**again, "made_by": said.get("made_by")}, ""  # who wrote it is their word


def _changed(evidence: Evidence, said: Mapping[str, Any]) -> Iterator[str]:
    """Raw files that are not those the report was made from."""
    now, then = sources(evidence), said.get("sources")
    if not isinstance(then, dict):
        yield "report.json does not name the files it was made from"
        return
    for name in sorted({*now, *then}):
        if name not in now:
            yield f"{name[:200]} is missing"
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


# ---- the report ----


def _report(
    folder: Path, evidence: Evidence, said: dict[str, Any], again: dict[str, Any]
) -> Outcome:
    """The four files against what the runs say."""
    faults = [f"report.json: {fault}" for fault in _different(again, said)]
    # Where only last digits differ, the files are drawn from the numbers that stand there.
    contents = VERSIONS[version_of(said)].contents(evidence, again if faults else said)
    faults += _drawn(folder, contents)
    if not isinstance(said.get("made_by"), str | None):
        faults.append("report.json: made_by is no version")
    name = excerpt(str(said.get("made_by")), 40).text
    unchecked = () if name == made_by() else (f"that mssr_rl {name} wrote the report, as it says",)
    return Outcome(tuple(faults), unchecked=unchecked)


def _different(now: Any, then: Any, path: str = "") -> Iterator[str]:
    """Every leaf of the document that does not come out the same."""
    if path == "sources":
        return  # `_changed` has named them
    if isinstance(now, dict) and isinstance(then, dict):
        for key in [*now, *(key for key in then if key not in now)]:
            where = f"{path}.{key}" if path else str(key)
            if key not in now:
                yield f"{where[:200]} is nothing that this version of the report has"
            elif key not in then:
                yield f"{where} is missing"
            else:
                yield from _different(now[key], then[key], where)
    elif isinstance(now, list) and isinstance(then, list):
        for i, (a, b) in enumerate(zip_longest(now, then)):
            yield from _different(a, b, f"{path}[{i}]")
    elif not _equal(now, then):
        yield f"{path} is {_brief(then)}, the runs say {_brief(now)}"


def _brief(value: Any) -> str:
    return excerpt(repr(value), 200).text


def _equal(now: Any, then: Any) -> bool:
    if isinstance(now, float) and isinstance(then, (int, float)) and not isinstance(then, bool):
        return isclose(now, then, rel_tol=1e-9, abs_tol=1e-12)
    return type(now) is type(then) and bool(now == then)


def _drawn(folder: Path, contents: Mapping[str, bytes]) -> Iterator[str]:
    """Where a file differs from what would be written, and what stands there."""
    for name in DRAWN:
        path = folder / name
        if not path.exists():
            yield f"{name} is missing"
        elif (found := untrusted.content(path)) != contents[name]:
            yield f"{name}: {_first_difference(found, contents[name])}"


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
