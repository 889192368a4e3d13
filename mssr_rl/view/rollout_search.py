"""Filters the recorded rollouts of a run: by text, family, verdict, reason, step, sign and split.

The filter is the query of the page's address, so that it can be shared and bookmarked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple
from urllib.parse import urlencode

from mssr_rl.report.gallery import RolloutCard, card
from mssr_rl.view.follow import FollowedRun, SampleEntry
from mssr_rl.view.run_views import page_of

PER_PAGE = 12
LONGEST = 200  # characters of a filter
SEARCHED = 100_000  # rollouts whose texts are searched at most, newest first
TEXTS = ("prompt", "response", "extracted", "answer", "key")


@dataclass(frozen=True, kw_only=True)
class RolloutFilter:
    """What is asked for; an empty text fits everything."""

    text: str = ""
    family: str = ""
    verdict: str = ""  # right or wrong
    reason: str = ""
    step: str = ""
    split: str = ""
    flipped: str = ""  # yes or no

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> "RolloutFilter":
        """Return the filter of an address's query; other entries are ignored."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: asked.get(name, "").strip()[:LONGEST] for name in names})

    def query(self, **more: object) -> str:
        """Return the filter as an address's query, without empty entries."""
        entries = {**vars(self), **more}
        return urlencode({name: value for name, value in entries.items() if value})

    def fits(self, entry: SampleEntry) -> bool:
        """Return whether an entry of the index fits, apart from the text."""
        right = "right" if entry.reason == "correct" else "wrong"
        flipped = {True: "yes", False: "no", None: "unknown"}[entry.flipped]
        pairs = (
            (self.family, entry.family),
            (self.verdict, right),
            (self.reason, entry.reason),
            (self.step, str(entry.step)),
            (self.split, entry.split),
            (self.flipped, flipped),
        )
        return all(wanted in ("", found) for wanted, found in pairs)


class Facets(NamedTuple):
    """The values that occur, for the choices of the form."""

    families: list[str]
    reasons: list[str]
    splits: list[str]
    steps: list[int]
    flips: bool  # whether flipped signs were recorded


class RolloutPage(NamedTuple):
    """One page of the rollouts that fit a filter, newest first."""

    cards: list[RolloutCard]
    matching: int
    total: int
    page: int
    pages: int
    facets: Facets
    searched: int | None  # how many rollouts were searched for the text; None: all


def search(run: FollowedRun, wanted: RolloutFilter, asked: Mapping[str, str]) -> RolloutPage:
    """Return the page of rollouts that fits the filter."""
    entries = run.samples.entries
    fitting = [entry for entry in reversed(entries) if wanted.fits(entry)]
    searched = None
    if wanted.text:
        if len(fitting) > SEARCHED:
            searched = SEARCHED
        fitting = list(_with_text(run, fitting[:SEARCHED], wanted.text.casefold()))
    page, pages = page_of(asked, len(fitting), PER_PAGE)
    shown = run.samples.found(fitting[(page - 1) * PER_PAGE : page * PER_PAGE])
    cards = [card(row, run.folder) for _, row in shown]
    return RolloutPage(cards, len(fitting), len(entries), page, pages, facets(entries), searched)


def _with_text(
    run: FollowedRun, entries: Sequence[SampleEntry], text: str
) -> Iterator[SampleEntry]:
    for entry, row in run.samples.found(entries):
        if any(text in str(row.get(name, "")).casefold() for name in TEXTS):
            yield entry


def facets(entries: Sequence[SampleEntry]) -> Facets:
    """Return the values that occur in the index."""
    return Facets(
        sorted({entry.family for entry in entries} - {""})[:200],
        sorted({entry.reason for entry in entries} - {""})[:50],
        sorted({entry.split for entry in entries})[:50],
        sorted({entry.step for entry in entries}),
        any(entry.flipped is not None for entry in entries),
    )
