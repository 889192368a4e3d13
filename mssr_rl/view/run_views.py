"""Prepares the pages about runs: the list, one run, and two runs side by side."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from mssr_rl.errors import UserError
from mssr_rl.report import panels, results, setup
from mssr_rl.report.curves import Chart
from mssr_rl.report.gallery import RolloutCard, card
from mssr_rl.report.panels import value
from mssr_rl.report.runfiles import RunFiles, read_documents
from mssr_rl.run.status import Status
from mssr_rl.stability.limits import Limits
from mssr_rl.stability.stability_card import scorecard
from mssr_rl.stability.trace import COLUMNS, Event, from_records
from mssr_rl.typed import build
from mssr_rl.view.follow import FollowedRun, RunCache
from mssr_rl.view.glance import Glance, Glances
from mssr_rl.view.library import Library, Place, state_of

POINTS = 400  # of a curve
PER_PAGE = 50  # runs
NEWEST = 6  # rollouts on the page of a run
STATES = ("running", "slow", "done", "interrupted", "collapsed", "failed", "died")


class RunLine(NamedTuple):
    """A run in the list."""

    place: Place
    status: Status
    glance: Glance

    @property
    def step(self) -> str:
        """The newest step, of how many."""
        return f"{max(self.glance.step, self._counts()[0]):,} of {self._counts()[1] or '?'}"

    @property
    def rollouts(self) -> str:
        """The rollouts that are spent."""
        return f"{self.glance.rollouts:,}" if self.glance.rollouts else self.status.rollouts

    @property
    def share(self) -> float | None:
        """The share of the steps that are done; None if their number is unknown."""
        done, planned = self._counts()
        return min(1.0, max(self.glance.step, done) / planned) if planned else None

    def _counts(self) -> tuple[int, int]:
        """Return the step of the heartbeat, and the planned steps; 0 for an unknown number."""
        done, _, planned = self.status.step.partition(" of ")
        first, second = (
            int(text) if text.isascii() and text.isdecimal() else 0 for text in (done, planned)
        )
        return first, second


class RunList(NamedTuple):
    """One page of the list, and what was asked for."""

    lines: list[RunLine]
    matching: int  # runs that fit the filter
    total: int
    alive: int
    page: int
    pages: int
    states: list[str]  # that occur


def run_list(library: Library, glances: Glances, asked: Mapping[str, str]) -> RunList:
    """Return the page of the list that fits the address's query (q, state, page)."""
    text, state = asked.get("q", "").casefold(), asked.get("state", "")
    statuses = [(place, state_of(place)) for place in library.shelf().runs.values()]
    fitting = [
        (place, status)
        for place, status in statuses
        if text in place.address.casefold() and state in ("", status.state)
    ]
    page, pages = page_of(asked, len(fitting), PER_PAGE)
    shown = fitting[(page - 1) * PER_PAGE : page * PER_PAGE]
    occurring = {status.state for _, status in statuses}
    return RunList(
        lines=[line_of_run(place, status, glances) for place, status in shown],
        matching=len(fitting),
        total=len(statuses),
        alive=sum(status.alive for _, status in statuses),
        page=page,
        pages=pages,
        states=[name for name in STATES if name in occurring],
    )


def page_of(asked: Mapping[str, str], count: int, size: int) -> tuple[int, int]:
    """Return the page that is asked for, moved into the range, and the number of pages."""
    pages = max(1, -(-count // size))
    text = asked.get("page", "1")
    wanted = int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 1
    return min(max(wanted, 1), pages), pages


def line_of_run(place: Place, status: Status, glances: Glances) -> RunLine:
    """Return the line of a run in the list."""
    return RunLine(place, status, glances.at(place.folder))


class RunSheet(NamedTuple):
    """Everything on the page of one run."""

    place: Place
    status: Status
    line: RunLine
    setup: setup.Setup
    sentence: str
    scores: tuple[results.AccuracyChange, ...]
    breakdowns: tuple[results.Breakdown, ...]
    panels: panels.Panels
    bin: int  # steps of one point of a curve
    events: tuple[Event, ...]
    cards: list[RolloutCard]
    samples: int
    complaints: list[str]


def run_sheet(place: Place, cache: RunCache, glances: Glances) -> RunSheet:
    """Return the page of a run. Raise `UserError` if its folder is gone."""
    followed = cache.get(place.folder)
    files = files_of(followed)
    status = state_of(place)
    newest = followed.samples.found(followed.samples.entries[-NEWEST:][::-1])
    return RunSheet(
        place=place,
        status=status,
        line=line_of_run(place, status, glances),
        setup=setup.describe(files),
        sentence=results.sentence(results.scores(files.evaluations), files.run.get("overlap")),
        scores=results.scores(files.evaluations),
        breakdowns=results.breakdowns(files.evaluations),
        panels=panels.charts(files.metrics, files.evaluations),
        bin=followed.metrics.bin(POINTS),
        events=events(followed, files),
        cards=[card(row, place.folder) for _, row in newest],
        samples=len(followed.samples.entries),
        complaints=followed.complaints(),
    )


def files_of(followed: FollowedRun) -> RunFiles:
    """Return what the reports read of a run; long streams of metrics as means of several steps."""
    documents = read_documents(followed.folder)
    return RunFiles(
        folder=followed.folder,
        **documents._asdict(),
        metrics=tuple(followed.metrics.binned(POINTS)),
        evaluations=tuple(followed.evaluations.rows),
        samples=(),
        skipped=(),
    )


def events(followed: FollowedRun, files: RunFiles) -> tuple[Event, ...]:
    """Return the stability events so far, from the same detectors as at the end of a run."""
    columns = {n: c for n, c in followed.metrics.columns.items() if n in COLUMNS}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    planned = files.run.get("steps")
    marks = [row for row in followed.evaluations.rows if isfinite(value(row, "accuracy"))]
    trace = from_records(
        planned if isinstance(planned, int) and 0 < planned < 10**7 else max(1, len(rows)),
        rows,
        [{"split": "val", "n": 0, **row} for row in marks],
    )
    return scorecard(trace, limits_of(files.config_text)).events


def limits_of(config_text: str) -> Limits:
    """Return the run's limits of the stability detectors; the usual ones if it names none."""
    recorded = setup.flat_config(config_text)
    own = {k.partition(".")[2]: v for k, v in recorded.items() if k.startswith("stability.")}
    try:
        return build(Limits, own)
    except UserError:
        return Limits()


class SettingDifference(NamedTuple):
    """A setting that differs between two runs; None where a run does not have it."""

    key: str
    values: tuple[Any, Any]


class RunPair(NamedTuple):
    """Everything on the page of two runs."""

    sheets: tuple[RunSheet, RunSheet]
    differences: list[SettingDifference]
    same: int
    charts: tuple[Chart, ...]


NEVER_ALIKE = frozenset({"name", "resume", "accept", "runs_dir"})


def run_pair(a: Place, b: Place, cache: RunCache, glances: Glances) -> RunPair:
    """Return the page of two runs, with the settings that differ and their curves together."""
    sheets = run_sheet(a, cache, glances), run_sheet(b, cache, glances)
    configs = [setup.flat_config(read_documents(place.folder).config_text) for place in (a, b)]
    keys = [key for key in {**configs[0], **configs[1]} if key not in NEVER_ALIKE]
    differing = [key for key in keys if configs[0].get(key) != configs[1].get(key)]
    return RunPair(
        sheets,
        [SettingDifference(key, (configs[0].get(key), configs[1].get(key))) for key in differing],
        len(keys) - len(differing),
        tuple(together(sheets)),
    )


def together(sheets: Sequence[RunSheet]) -> Iterator[Chart]:
    """Yield charts with one line for each run: greedy accuracy, reward, then the others."""
    names = names_of([sheet.place for sheet in sheets])
    by_title: dict[str, list[Chart | None]] = {}
    for i, sheet in enumerate(sheets):
        for chart in (*sheet.panels.main, *sheet.panels.health, *sheet.panels.own):
            by_title.setdefault(chart.title, [None] * len(sheets))[i] = chart
    for charts in by_title.values():
        yield panels.overlaid(charts, names)


def names_of(places: Sequence[Place]) -> list[str]:
    """Return the names of the runs' folders; their addresses if two names are the same."""
    names = [place.folder.name for place in places]
    return names if len(set(names)) == len(names) else [place.address for place in places]
