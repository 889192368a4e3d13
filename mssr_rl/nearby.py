"""Names the runs and comparisons of the current folder, for messages about a mistyped path."""

import difflib
from collections.abc import Iterator
from pathlib import Path

from mssr_rl.errors import UserError

KEEPERS = ("runs", "comparisons")  # the folders that the program itself makes
SHOWN = 5


def path_like(text: str) -> bool:
    """Return whether a text can only be a path on this machine, and no hub id `owner/name`."""
    parts = text.split("/")
    return len(parts) != 2 or parts[0] in (*KEEPERS, "", ".", "..", "~") or Path(parts[0]).is_dir()


def runs_here() -> list[str]:
    """Return the run folders below `runs` and `comparisons`, newest first."""
    return [path.parent.as_posix() for path in _newest(_marked("run.json"))]


def comparisons_here() -> list[str]:
    """Return the comparison folders below `comparisons` and `runs`, newest first."""
    return [path.parent.as_posix() for path in _newest(_marked("compare.json"))]


def no_run(folder: Path, why: str) -> UserError:
    """Return the error for a folder that holds no run; it lists the runs that are here."""
    return UserError(f"{folder} {why}; {_listed(str(folder), runs_here(), 'run')}")


def no_comparison(folder: Path, why: str) -> UserError:
    """Return the error for a folder that holds no comparison; it lists those that are here."""
    return UserError(f"{folder} {why}; {_listed(str(folder), comparisons_here(), 'comparison')}")


def runs_listed(wanted: str) -> str:
    """Return a clause that lists the runs here, those with a name like `wanted` first."""
    return _listed(wanted, runs_here(), "run")


def _listed(wanted: str, known: list[str], kind: str) -> str:
    if not known:
        return f"no {kind} is in {' or '.join(KEEPERS)} here"
    close = difflib.get_close_matches(wanted, known, SHOWN)
    shown = list(dict.fromkeys([*close, *known]))[:SHOWN]
    more = f" and {len(known) - len(shown)} more" if len(known) > len(shown) else ""
    return f"{kind}s here: {', '.join(shown)}{more}"


def _marked(name: str) -> Iterator[Path]:
    for keeper in KEEPERS:
        for pattern in (f"*/{name}", f"*/runs/*/{name}"):
            yield from Path(keeper).glob(pattern)


def _newest(marks: Iterator[Path]) -> list[Path]:
    return sorted(marks, key=lambda path: (-path.stat().st_mtime, path.as_posix()))
