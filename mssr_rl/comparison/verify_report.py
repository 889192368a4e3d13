"""Check that a comparison's report follows from its runs: `report verify=FOLDER`.

Only the folder is needed. The report is made again from the raw files, by the code of the version
that report.json names (`report_versions`). report.json is compared value by value; report.md,
table.tex and report.html are compared byte by byte. Three further checks follow. The raw files must
agree with each other (`consistency`). The recorded answers are graded again (`regrading`). The
checkpoints must have their recorded hashes (`weights`). With `deep=true`, the final checkpoints
answer the test split again (`deep`). The output also lists what was not checked.
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
MOST = 10  # faults that are listed
CONTEXT = 40  # characters shown on either side of a difference
DRAWN = ("report.html", "report.md", "table.tex")
KNOWN = (*DRAWN, "compare.json", "report.json", "runs", "logs", "imported", "lock", "looks.jsonl")


@dataclass(frozen=True, kw_only=True)
class VerifyWords:
    """The arguments of `report verify=`. All but `verify` and `deep` allow what the runs used."""

    verify: str = option("the folder of a comparison")
    deep: bool = option("have the final checkpoints answer the test split again", False)
    plugins: tuple[str, ...] = option("the modules that the runs imported", ())
    engine: str | None = option("the engine of the runs, if it is not local", None)
    address: str | None = called("cluster.address", "the Ray cluster that the runs used", None)
    env: Mapping[str, str] = options_of("env")

    @property
    def texts(self) -> dict[str, str]:
        """The arguments as {key: text}, the form that `config.recorded` and `rerun` read."""
        named = {"engine": self.engine, "cluster.address": self.address}
        texts = {key: text for key, text in named.items() if text is not None}
        return {**texts, **self.env, "plugins": f"[{','.join(self.plugins)}]"}


def verify_comparison(arguments: Sequence[str]) -> str:
    """Verify the comparison that the arguments name; return one line per check."""
    parsed = parse_words(VerifyWords, arguments)
    return verify(Path(parsed.verify), parsed.texts, deeply=parsed.deep)


def verify(folder: Path, words: Mapping[str, str] = NO_WORDS, *, deeply: bool = False) -> str:
    """Return one line per check that passed or was not made.

    `words` are the user's arguments. They say which code and data of the run's configs may be used
    (`rerun`). With `deeply`, the final checkpoints answer the test split again. Raise `RunFailed`
    if a check found a fault.
    """
    evidence = read_evidence(folder)
    report = _said(folder / "report.json")
    version = VERSIONS[version_of(report)]
    evidence = settled(evidence)
    again, broken = _again(evidence, version, report)
    checks = [
        Outcome(faults=tuple(_changed(version.sources(sources(evidence)), report))),
        consistency.check_consistency(evidence),
        Outcome(faults=(broken,)) if broken else _report(folder, evidence, report, again),
    ]
    # These checks take longer, so they run only if the checks above found no fault.
    later: tuple[Callable[[], Outcome], ...] = (
        lambda: regrading.check_gradings(evidence, words),
        lambda: weights.check_weights(evidence),
        lambda: deep.check_answers(evidence, words) if deeply else Outcome(unchecked=(DEEP,)),
        lambda: Outcome(unchecked=tuple(_beside(folder))),
    )
    for check in later:
        if not any(one.faults for one in checks):
            checks.append(check())
    return _told(folder, report, again, joined(checks))


def _beside(folder: Path) -> Iterator[str]:
    """Yield one sentence for each part of the folder that no check covers."""
    others = sorted(path.name for path in folder.iterdir() if path.name not in KNOWN)
    if others:
        yield f"what else lies in the folder: {', '.join(name[:60] for name in others[:MOST])}"
    yield "each run's own report.html, log, charts and lens files"
    yield "that training measured what metrics.jsonl says: resume verify=RUN does its steps again"


def _told(folder: Path, report: Mapping[str, Any], again: Any, outcome: Outcome) -> str:
    if outcome.faults:
        faults = outcome.faults
        more = f"; and {len(faults) - MOST} more" if len(faults) > MOST else ""
        only_drawn = all(fault.startswith(DRAWN) for fault in faults)
        way_out = "; report run=FOLDER draws them again from the runs" if only_drawn else ""
        listed = "; ".join(faults[:MOST])
        raise RunFailed(f"{folder} does not hold together: {listed}{more}{way_out}")
    count = sum(1 for _ in _numbers(again))
    lines = [
        f"{count:,} numbers of {folder} follow from its {len(report['sources'])} raw files",
        f"{', '.join(DRAWN)} say just that (version {version_of(report)} of the report)",
        *outcome.checked,
    ]
    return "\n".join(
        [f"verified     {one}" for one in lines]
        + [f"not checked  {one}" for one in outcome.unchecked]
    )


def _said(path: Path) -> dict[str, Any]:
    try:
        return untrusted.read_object(path, once=True)
    except FileNotFoundError:
        raise UserError(f"{path} is not there, so there is nothing to verify") from None
    except untrusted.Unusable as error:
        raise RunFailed(f"{path} cannot be read: {error}") from None


def _again(
    evidence: Evidence, version: Version, report: Mapping[str, Any]
) -> tuple[dict[str, Any], str]:
    """Return (document, ""): the report's document, made again by the code of `version`.

    If the files were changed so that no document can be made, return ({}, the reason).
    """
    try:
        again = version.document(evidence, document.plain(findings(evidence)))
    except (UserError, KeyError, TypeError, ValueError, AttributeError) as error:
        return {}, f"no report can be made of the runs: {error!r}"
    return {**again, "made_by": report.get("made_by")}, ""  # made_by cannot be checked


def _changed(now: Mapping[str, str], report: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each raw file that changed, is missing or is new since the report."""
    then = report.get("sources")
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
    folder: Path, evidence: Evidence, report: dict[str, Any], again: dict[str, Any]
) -> Outcome:
    """Check report.json and the three files drawn from it against the runs."""
    faults = [f"report.json: {fault}" for fault in _different(again, report)]
    # If only last digits differ, the other files must fit the numbers in report.json.
    contents = VERSIONS[version_of(report)].contents(evidence, again if faults else report)
    faults += _drawn(folder, contents)
    if not isinstance(report.get("made_by"), str | None):
        faults.append("report.json: made_by is not a version")
    name = excerpt(str(report.get("made_by")), 40).text
    unchecked = () if name == made_by() else (f"that mssr_rl {name} wrote the report, as it says",)
    return Outcome(tuple(faults), unchecked=unchecked)


def _different(now: Any, then: Any, path: str = "") -> Iterator[str]:
    """Yield a sentence for each value that differs between report.json and the new document.

    `then` is report.json, `now` the new document, and `path` the place, such as `envs[0].pairs`.
    """
    if path == "sources":
        return  # `_changed` compares them
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
    """Yield a sentence for each of the files `DRAWN` that is missing or differs from `contents`."""
    for name in DRAWN:
        path = folder / name
        if not path.exists():
            yield f"{name} is missing"
        elif (content := untrusted.content(path)) != contents[name]:
            yield f"{name}: {_first_difference(content, contents[name])}"


def _first_difference(content: bytes, wanted: bytes) -> str:
    pairs = enumerate(zip_longest(content, wanted))
    at = next(i for i, (a, b) in pairs if a != b)
    here, there = (
        excerpt(text[max(0, at - CONTEXT) : at + CONTEXT].decode("utf-8", "replace"), 200).text
        for text in (content, wanted)
    )
    line = content.count(b"\n", 0, at) + 1
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
