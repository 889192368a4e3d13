"""The frame of every benchmark: words in, tables and JSON out; a sentence where they are wrong."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from benchmarks import measure
from mssr_rl import files
from mssr_rl.errors import RunFailed, UserError


class Report(NamedTuple):
    """What a benchmark found."""

    text: str  # tables and sentences, for people
    results: Any  # the same as plain values


class Parser(ArgumentParser):
    """Takes --json and --short; a wrong word raises a `UserError`."""

    def __init__(self, name: str, says: str | None) -> None:
        super().__init__(
            prog=f"python -m benchmarks {name}",
            description=says,
            formatter_class=RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
        self.add_argument("--short", action="store_true", help="fewer and smaller batches")

    def error(self, message: str) -> NoReturn:
        """One sentence, no usage."""
        raise UserError(f"{message}; see --help")


def run(parser: Parser, measured: Callable[[Namespace], Report], words: Sequence[str]) -> int:
    """Measure, print, write; the exit code: 0 done, 1 failed, 2 wrong usage."""
    try:
        given = parser.parse_args(words)
        _refuse_folder(given.json)
        report = measured(given)
        _write(given, report)
    except UserError as error:
        return _complain(parser, error, 2)
    except RunFailed as error:
        return _complain(parser, error, 1)
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"{report.text}\n")
    return 0


def positive(word: str) -> int:
    """A whole number of at least 1, for argparse."""
    if not word.isdecimal() or int(word) < 1:
        raise UserError(f"{word!r} is not a whole number of at least 1")
    return int(word)


def say(line: str) -> None:
    """What is being done, to stderr."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _refuse_folder(file: Path | None) -> None:
    """Found out before anything is measured."""
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        raise UserError(f"--json {file} is not a file in a folder that exists")


def _write(given: Namespace, report: Report) -> None:
    if given.json is None:
        return
    places = (Path, type(None))  # where things lie on a machine is nobody's business
    options = {key: value for key, value in vars(given).items() if not isinstance(value, places)}
    content = {"options": options, "machine": measure.machine(), "results": report.results}
    files.write_json(given.json, content)


def _complain(parser: Parser, error: Exception, code: int) -> int:
    sys.stderr.write(f"{parser.prog.rpartition(' ')[2]}: {error}\n")
    return code
