"""Compares our verdicts with another grader's, prints differences, and writes them as HTML or CSV.

The other grader gets what ours compared: the text in the box, and the gold answer. A response
without a box is left out, because it has no value to compare. Text of a model is untrusted: it is
escaped in HTML, and a CSV cell that looks like a formula begins with an apostrophe.
"""

import csv
import html
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import files
from mssr_rl.check_env.audit import Grader, graders
from mssr_rl.errors import UserError
from mssr_rl.typed import closest

PRINTED = 20
RECORDED = "recorded"  # compare with the verdicts in the log itself, instead of a grader
KEPT = 100_000
_HEADER = ("id", "answer in the box", "gold answer", "ours", "the other's")
_FORMULA = re.compile(r"[=+@\t\r]|-(?![0-9. ]*$)")
_STYLE = (
    "body{font:15px/1.4 sans-serif;margin:2em}table{border-collapse:collapse}"
    "td,th{border:1px solid #999;padding:.3em .6em;text-align:left;vertical-align:top}"
    "td{font-family:monospace;white-space:pre-wrap;overflow-wrap:anywhere}"
)


class Difference(NamedTuple):
    """One answer on which the two verdicts differ."""

    name: str
    answer: str
    gold: str
    ours: str
    theirs: str


class Disagreements:
    """Compares each verdict with the other grader's, and collects the differences."""

    def __init__(self, other: str) -> None:
        """Choose the other grader by its name; raise `UserError` for an unknown name."""
        known = graders()
        if other not in (*known, RECORDED):
            meant = closest(other, [*known, RECORDED])
            names = " or ".join((*sorted(known), RECORDED))
            hint = f"; did you mean {meant}?" if meant else f"; use {names}"
            raise UserError(f"against={other}: there is no such grader{hint}")
        self.other, self.grader = other, known.get(other)
        self.compared = self.differing = 0
        self.found: list[Difference] = []

    def add(
        self, name: Any, gold: str, result: dict[str, Any], recorded: bool | None = None
    ) -> None:
        """Compare the verdicts on one answer; `result` is ours, `recorded` the log's."""
        answer = result["extracted"]
        if self.grader is None:
            if recorded is None:
                return
            answer, theirs = answer or "", "right" if recorded else "wrong"
        elif answer is None:
            return
        else:
            theirs = _verdict(self.grader, answer, gold)
        self.compared += 1
        ours = result["reason"] == "correct"
        if theirs == ("right" if ours else "wrong"):
            return
        self.differing += 1
        if len(self.found) < KEPT:
            self.found.append(Difference(str(name), answer, gold, result["reason"], theirs))

    def summary(self) -> str:
        """Return a text with the number of different verdicts, and the first of them."""
        if self.grader is None and not self.compared:
            return "the file holds no verdicts: no column hit or score, no metric that is 0 or 1"
        agree = self.compared - self.differing
        lines = [f"{self.other} agrees on {agree:,} of {self.compared:,} answers"]
        lines += [
            f"  {_short(d.name)}: {_short(d.answer)} for {_short(d.gold)}: "
            f"ours {d.ours}, {self.other} {d.theirs}"
            for d in self.found[:PRINTED]
        ]
        if self.differing > PRINTED:
            lines.append(f"  and {self.differing - PRINTED:,} more; export=FILE.html keeps them")
        return "\n".join(lines)

    def write(self, file: Path) -> None:
        """Write all differences, as HTML or CSV by the file's ending.

        Raises `UserError` if the file cannot be written.
        """
        text = self._html() if file.suffix == ".html" else self._csv()
        try:
            files.write_bytes(file, text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise UserError(f"export={file} cannot be written: {error.strerror}") from error

    def _csv(self) -> str:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(_HEADER)
        for difference in self.found:
            writer.writerow("'" + cell if _FORMULA.match(cell) else cell for cell in difference)
        return out.getvalue()

    def _html(self) -> str:
        rows = [_row("th", _HEADER), *(_row("td", difference) for difference in self.found)]
        title = f"{self.differing:,} of {self.compared:,} answers on which {self.other} differs"
        return (
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}'
            f"</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
            f"<table>{''.join(rows)}</table></html>\n"
        )


def _verdict(grader: Grader, answer: str, gold: str) -> str:
    """Return the other grader's verdict, "right" or "wrong".

    If it raises, the result begins with "fails", which counts as a difference.
    """
    try:
        return "right" if grader(answer, gold) else "wrong"
    except Exception as error:  # noqa: BLE001  a foreign grader may raise anything
        return f"fails ({type(error).__name__})"


def _row(tag: str, cells: tuple[str, ...]) -> str:
    shown = (html.escape(_printable(cell)) for cell in cells)
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in shown) + "</tr>\n"


def _printable(text: str) -> str:
    """Return the text with control and direction characters escaped, so that nothing is hidden."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def _short(text: str) -> str:
    shown = _printable(text.replace("\n", " "))
    return shown if len(shown) <= 60 else shown[:57] + "..."
