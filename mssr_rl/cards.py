"""Writes the generated part of the algorithm cards in docs/algorithms.md.

    python -m mssr_rl.cards docs/algorithms.md      puts the newest facts into the document

Only the text between `<!-- facts NAME -->` and `<!-- end -->` is generated. An algorithm without a
card gets one at the end of the document; its author moves it and explains it. A test checks that
the document is up to date.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from mssr_rl.algos import Algorithm, algorithms
from mssr_rl.loss import Loss, PolicyLoss, losses
from mssr_rl.options import Option
from mssr_rl.typed import show

FACTS = re.compile(r"(<!-- facts (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(document: str) -> str:
    """Return the document with the current facts in every card; missing cards are added."""
    known = [card.group(2) for card in FACTS.finditer(document)]
    for name in sorted(set(algorithms.names()) - set(known)):
        document += f"\n### {name}\n\n<!-- facts {name} -->\n<!-- end -->\n"
    return FACTS.sub(lambda card: f"{card[1]}{facts(card[2])}{card[3]}", document)


def facts(name: str) -> str:
    """Return the generated part of one card, as Markdown."""
    made = algorithms.make(name)
    lines = [f"* {says}" for says in _sentences(made)]
    options = algorithms.options(name).values()
    rows = [_row(option) for option in options if not _shared(option, made.loss)]
    table = ["", "| option | default | |", "|---|---|---|", *rows] if rows else []
    return "\n".join([f"*{algorithms.about(name)}*", "", *lines, *table, ""])


def _sentences(made: Algorithm) -> Iterator[str]:
    yield f"chain: `{made.advantage.name}`"
    yield f"rollouts per problem: {made.default_group_size}, at least {made.min_group_size}"
    yield _loss(made.loss)
    if wanted := made.advantage.initial:
        yield f"before step 1: {wanted.per_problem} to every training problem, charged"
    if made.resampling:
        yield f"drops groups, and generates up to {made.resampling.max_batches} batches a step"
    if made.greedy_baseline:
        yield "a greedy response to every problem of a step, charged and not trained on"
    if made.distortion:
        share, says = made.distortion.share, made.distortion.says
        yield f"{share:.0%} of a problem's rollouts are sampled {says}"
    for term in made.extras.views:
        through = {"policy": "", "view": ", learnt by the view", "both": ", learnt by both"}
        yield (
            f"adds to the loss: {show(term.coef)} times the KL ({term.estimator}) to the policy "
            f"{term.says}{through[term.gradient]}"
        )


def _loss(loss: PolicyLoss) -> str:
    common = type(loss) is Loss
    descriptions = [] if common else [losses.about(_name(loss)).rstrip(".")]
    changed = [
        f"{field.name}={show(getattr(loss, field.name))}"
        for field in fields(Loss if common else PolicyLoss)
        if getattr(loss, field.name) != field.default
    ]
    kind = "the common one" if common else f"`{_name(loss)}`"
    return f"loss: {kind}{', but '.join(['', ', '.join(changed)]) if changed else ''}" + "".join(
        f". {one}" for one in descriptions
    )


def _name(loss: PolicyLoss) -> str:
    return losses.name_of(type(loss)) or type(loss).__name__


def _shared(option: Option, loss: PolicyLoss) -> bool:
    """Return whether the option is an option of every loss, which the document explains once."""
    of_loss = option.path[0] == "loss"
    return of_loss and (type(loss) is Loss or option.name in {f.name for f in fields(PolicyLoss)})


def _row(option: Option) -> str:
    doc = option.doc.replace("|", "\\|")
    return f"| `{option.name}` | `{show(option.default)}` | {doc} |"


def update_cards(arguments: Sequence[str]) -> int:
    """Rewrite the facts in the named documents; return exit code 0."""
    for argument in arguments:
        path = Path(argument)
        path.write_text(updated(path.read_text("utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(update_cards(sys.argv[1:]))
