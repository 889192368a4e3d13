"""`report verify=FOLDER`: is a comparison's report what its runs say? Works on the folder alone.

Everything is computed and drawn again from the raw files, and compared: report.json value by value,
report.md, table.tex and report.html byte by byte, as the version that report.json names wrote them
(`report_versions`). Then the raw files are held against each other (`consistency`), recorded
answers are graded again (`regrading`), checkpoints are held against their hashes (`weights`), and
with `deep=true` the final ones answer the test split again (`deep`). What was not checked is said.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import isclose
from pathlib import Path
from typing import Any

from mssr_rl import untrusted
from mssr_rl.comparison import consistency, deep, document, regrading, weights
from mssr_rl.comparison.evidence import Evidence, read_evidence, sources
from mssr_rl.comparison.findings import findings, made_by
from mssr_rl.comparison.outcome import Outcome, joined
from mssr_rl.comparison.race import settled
from mssr_rl.comparison.report_versions import VERSIONS, Version, version_of
from mssr_rl.config.recorded import NO_WORDS
from mssr_rl.config.words import called, options_of, parse_words
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.report.text import excerpt
from mssr_rl.typed import option

DEEP = "that the runs' models answer as recorded: deep=true has the final weights answer again"
MOST = 10  # faults that are named
CONTEXT = 40  # characters either side of a difference
DRAWN = ("report.html", "report.md", "table.tex")
KNOWN = (*DRAWN, "compare.json", "report.json", "runs", "logs", "imported", "lock", "looks.jsonl")


@dataclass(frozen=True, kw_only=True)
class VerifyWords:
    """What `report verify=` is told; all but the folder and `deep` allow what the runs had."""

    verify: str = option("the folder of a comparison")
    deep: bool = option("have the final checkpoints answer the test split again", False)
    plugins: tuple[str, ...] = option("the modules that the runs imported", ())
    engine: str | None = option("the engine, where it is another than local", None)
    address: str | None = called("cluster.address", "the Ray cluster that the runs used", None)
    env: Mapping[str, str] = options_of("env")

    @property
    def texts(self) -> dict[str, str]:
        """As `config.recorded` and `rerun` read them."""
        found = {"engine": self.engine, "cluster.address": self.address}
        texts = {key: text for key, text in found.items() if text is not None}
        return {**texts, **self.env, "plugins": f"[{','.join(self.plugins)}]"}


def verify_comparison(arguments: Sequence[str]) -> str:
    """Verify the comparison that the words name."""
    asked = parse_words(VerifyWords, arguments)
    return verify(Path(asked.verify), asked.texts, deeply=asked.deep)


def verify(folder: Path, words: Mapping[str, str] = NO_WORDS, *, deeply: bool = False) -> str:
    """What holds and what was not checked, in lines; `RunFailed` names what does not hold.

    `words` name what of the folder's configs may be used here (`rerun`); `deeply` has the final
    weights answer again.
    """
    evidence = read_evidence(folder)
    said = _said(folder / "report.json")
    version = VERSIONS[version_of(said)]
    evidence = settled(evidence)
    again, broken = _again(evidence, version, said)
    checks = [
        Outcome(faults=tuple(_changed(version.sources(sources(evidence)), said))),
        consistency.check_consistency(evidence),
        Outcome(faults=(broken,)) if broken else _report(folder, evidence, said, again),
    ]
    # What takes longer waits until all of this is in order.
    later: tuple[Callable[[], Outcome], ...] = (
        lambda: regrading.check_gradings(evidence, words),
        lambda: weights.check_weights(evidence),
        lambda: deep.check_answers(evidence, words) if deeply else Outcome(unchecked=(DEEP,)),
        lambda: Outcome(unchecked=tuple(_beside(folder))),
    )
    for check in later:
        if not any(one.faults for one in checks):
            checks.append(check())
    return _told(folder, said, again, joined(checks))


def _beside(folder: Path) -> Iterator[str]:
    """What lies in the folder and no report is made from."""
    others = sorted(path.name for path in folder.iterdir() if path.name not in KNOWN)
    if others:
        yield f"what else lies in the folder: {', '.join(name[:60] for name in others[:MOST])}"
    yield "each run's own report.html, log, charts and lens files"
    yield "that training measured what metrics.jsonl says: resume verify=RUN does its steps again"


def _told(folder: Path, said: Mapping[str, Any], again: Any, found: Outcome) -> str:
    if found.faults:
        faults = found.faults
        more = f"; and {len(faults) - MOST} more" if len(faults) > MOST else ""
        only_drawn = all(fault.startswith(DRAWN) for fault in faults)
        way_out = "; report run=FOLDER draws them again from the runs" if only_drawn else ""
        listed = "; ".join(faults[:MOST])
        raise RunFailed(f"{folder} does not hold together: {listed}{more}{way_out}")
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
        return untrusted.read_object(path, once=True)
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


def _changed(now: Mapping[str, str], said: Mapping[str, Any]) -> Iterator[str]:
    """Raw files that are not those the report was made from."""
    then = said.get("sources")
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
