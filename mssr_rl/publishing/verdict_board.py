"""`board`: one offline page over many comparisons, in which every row can be verified again.

A row is one comparison on one environment: question, arms, verdict, and whether its report was
recomputed from its raw files just now. The command under it does that again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl import files, untrusted
from mssr_rl.comparison.verify_report import verify
from mssr_rl.config.words import parse_words
from mssr_rl.errors import RunFailed, UserError
from mssr_rl.report import html
from mssr_rl.typed import option

TEMPLATES = Path(__file__).parent / "templates"


class BoardRow(NamedTuple):
    """One comparison on one environment."""

    folder: str
    link: str  # the report, relative to the board
    env: str
    arms: str
    seeds: int
    verdict: str
    state: str  # verified, different, not checked
    detail: str
    command: str


@dataclass(frozen=True, kw_only=True)
class BoardWords:
    """The arguments of `board`."""

    of: tuple[str, ...] = option("folders with comparisons", ("comparisons",))
    to: str = option("the page that is written", "board.html")
    verify: bool = option("recompute every report from its raw files", True)


def board(arguments: Sequence[str]) -> str:
    """Write the page; return its path and how many reports were verified."""
    parsed = parse_words(BoardWords, arguments)
    page = Path(parsed.to)
    found = [
        mark.parent for place in parsed.of for mark in sorted(Path(place).glob("*/report.json"))
    ]
    if not found:
        raise UserError(f"no finished comparison is in {' or '.join(parsed.of)}; compare makes one")
    if not page.parent.is_dir():
        raise UserError(f"to={page}: there is no folder {page.parent}")
    rows = [row for folder in found for row in board_rows(folder, page, check=parsed.verify)]
    style = html.own(TEMPLATES / "board.css")
    drawn = html.templates(TEMPLATES).get_template("board.html.j2")
    content = drawn.render(rows=rows, style=style, policy=html.policy(str(style), ""))
    files.write_bytes(page, content.encode("utf-8", "backslashreplace"))
    sound = sum(row.state == "verified" for row in rows)
    return f"{page}\n{sound} of {len(rows)} rows verified"


def board_rows(folder: Path, page: Path, *, check: bool) -> Iterator[BoardRow]:
    """Yield one row per environment of a comparison; `check` recomputes its report first."""
    report = untrusted.read_object(folder / "report.json", within=folder)
    state, detail = _verified(folder) if check else ("not checked", "")
    try:
        link = (folder / "report.html").resolve().relative_to(page.resolve().parent).as_posix()
    except ValueError:
        link = ""  # outside the board's folder: a link would not travel
    for env in report.get("envs", []):
        yield BoardRow(
            folder=folder.as_posix(),
            link=link,
            env=str(env.get("env")),
            arms=", ".join(map(str, report.get("arms", []))),
            seeds=len(report.get("seeds", [])),
            verdict=_verdict(env),
            state=state,
            detail=detail,
            command=f"mssr_rl report verify={folder.as_posix()}",
        )


def _verified(folder: Path) -> tuple[str, str]:
    try:
        said = verify(folder)
    except (RunFailed, UserError) as error:
        return "different", str(error)
    return "verified", said


def _verdict(env: Mapping[str, Any]) -> str:
    """Return the verdicts of the tested pairs in words; version 1 called them otherwise."""
    pairs = [
        f"{pair.get('a')} / {pair.get('b')}: {pair.get('verdict', pair.get('word', '?'))}"
        for pair in env.get("pairs", [])
    ]
    return "; ".join(pairs) or str(env.get("verdict", "?"))
