"""Draw lens.html: the advantage of every token of a recorded batch, under each algorithm.

The page is one offline file with escaped text, under the same content policy as the report. Colours
are CSS classes: red tokens have a negative advantage, blue ones a positive one. There are four
shades of each, relative to the algorithm's largest advantage.
"""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from mssr_rl import files
from mssr_rl.lens.runs import STORY, AlgorithmView, RecordedRun
from mssr_rl.lens.tokens import pieces
from mssr_rl.metric_names import (
    ADVANTAGE_MEAN,
    BONUS_CAPPED_SHARE,
    SIGN_FLIPPED_SHARE,
    SIGNAL_TOKENS,
    SIGNAL_VARIANCE,
    TRACKED_VALUE,
    TRACKER_ETA,
    ZERO_ADVANTAGE_SHARE,
)
from mssr_rl.metrics import NO_SIGNAL
from mssr_rl.report.gallery import RolloutCard, card
from mssr_rl.report.html import TEMPLATES, own, policy, templates
from mssr_rl.report.next_steps import NextStep
from mssr_rl.report.text import trusted

SHOWN_TOKENS = 24_000  # over all rollouts and algorithms, so that a page has a few megabytes
LONGEST = 400  # tokens of one response
SHADES = 4
SUMMARY = (
    ("mean", ADVANTAGE_MEAN),
    ("variance", SIGNAL_VARIANCE),
    ("tokens without signal", ZERO_ADVANTAGE_SHARE),
    ("effective tokens", SIGNAL_TOKENS),
    ("signs flipped", SIGN_FLIPPED_SHARE),
    ("bonus capped", BONUS_CAPPED_SHARE),
    ("tracked value", TRACKED_VALUE),
    ("eta", TRACKER_ETA),
)
SHARES = (ZERO_ADVANTAGE_SHARE, SIGN_FLIPPED_SHARE, BONUS_CAPPED_SHARE)


class LensToken(NamedTuple):
    """A token and its advantage under one algorithm."""

    text: str
    shade: str  # a CSS class of the page
    advantage: str


class LensRow(NamedTuple):
    """One response, with the advantages of its tokens under one algorithm."""

    algo: str
    mean: str
    tokens: list[LensToken]
    up: bool  # whether a token is pushed up


class LensRollout(NamedTuple):
    """One rollout: question, response, and the advantages under each algorithm."""

    card: RolloutCard
    rows: list[LensRow]
    cut: int  # tokens left out


def write(run: RecordedRun, looks: Mapping[str, AlgorithmView]) -> Path:
    """Write the run's lens.html and return its path."""
    target = run.folder / "lens.html"
    files.write_bytes(target, render(run, looks).encode("utf-8", "replace"))
    return target


def render(run: RecordedRun, looks: Mapping[str, AlgorithmView]) -> str:
    """Return the text of lens.html."""
    styles = (own(TEMPLATES / f"{name}.css") for name in ("report", "controls", "lens"))
    style, script = trusted("\n".join(styles)), own(TEMPLATES / "report.js")
    chosen = _chosen(run, len(looks))
    texts = pieces(run.model, [run.line.record["token"][i][:LONGEST] for i in chosen])
    return (
        templates(TEMPLATES)
        .get_template("lens.html.j2")
        .render(
            policy=policy(style, script),
            style=style,
            script=script,
            next=_next(run, list(looks)),
            run=run,
            looks=looks,
            columns=[name for name, _ in SUMMARY],
            summary={name: _summary(look) for name, look in looks.items()},
            shown=[_shown(run, looks, i, t) for i, t in zip(chosen, texts, strict=True)],
            total=len(run.line.problems),
            tokens=sum(run.line.lengths),
        )
    )


def _next(run: RecordedRun, shown: Sequence[str]) -> list[NextStep]:
    """Return what to do after reading the page."""
    folder = shlex.quote(str(run.folder))
    others = [name for name in shown if name != run.algo]
    alone = f"python -m mssr_rl lens run={folder}"
    first = (
        NextStep("see the rollouts as the run’s own algorithm alone saw them", alone)
        if others
        else NextStep(
            "see how every recorded step looks: one object a line",
            f"python -m mssr_rl lens {folder}/lens/step_{run.step}.jsonl algo={run.algo}",
        )
    )
    return [
        first,
        NextStep("read the report of the run again", f"python -m mssr_rl report run={folder}"),
        NextStep("search all recorded rollouts in a browser", "python -m mssr_rl view"),
    ]


def _summary(look: AlgorithmView) -> list[tuple[str, float] | None]:
    """Return the cells of an algorithm's row as (format, number); None for a missing metric."""
    return [
        ("percent" if key in SHARES else "number", round(look.seen.metrics[key], 6))
        if key in look.seen.metrics
        else None
        for _, key in SUMMARY
    ]


def _chosen(run: RecordedRun, algos: int) -> list[int]:
    """Return the indices of the first rollouts of the batch, as many as fit on the page."""
    room = SHOWN_TOKENS // max(algos, 1)
    chosen: list[int] = []
    for i, length in enumerate(run.line.lengths):
        room -= min(length, LONGEST)
        if room < 0:
            break
        chosen.append(i)
    return chosen


def _shown(
    run: RecordedRun, looks: Mapping[str, AlgorithmView], i: int, texts: Sequence[str]
) -> LensRollout:
    rows = [_row(name, look.seen.advantage_BT, i, texts) for name, look in looks.items()]
    return LensRollout(card(_sample(run, i), run.folder), rows, run.line.lengths[i] - len(texts))


def _row(name: str, advantage_BT: Tensor, i: int, texts: Sequence[str]) -> LensRow:
    largest = advantage_BT.abs().max().item() if advantage_BT.numel() else 0.0
    values = advantage_BT[i, : len(texts)].tolist()
    tokens = [
        LensToken(text, shade(value, largest), f"{value:+.4f}")
        for text, value in zip(texts, values, strict=True)
    ]
    mean = f"{sum(values) / len(values):+.3f}" if values else "no token"
    return LensRow(name, mean, tokens, any(token.shade.startswith("up") for token in tokens))


def shade(advantage: float, largest: float) -> str:
    """Return the CSS class of a token: "zero", or "up" or "down" with a number from 1 to 4."""
    if abs(advantage) < NO_SIGNAL:
        return "zero"
    depth = min(SHADES, 1 + int(SHADES * abs(advantage) / largest))
    return f"{'up' if advantage > 0 else 'down'}{depth}"


def _sample(run: RecordedRun, i: int) -> dict[str, Any]:
    """Return rollout `i` of the batch as an object in the form of samples.jsonl."""
    record = run.line.record
    entries = {name: record[name][i] for name in STORY if name != "token"}
    return {"step": run.step, "split": "train", "key": run.line.problems[i], **entries}
