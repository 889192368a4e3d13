"""Handle the arguments, tables, JSON output and error messages of every benchmark."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from benchmarks import measure
from mssr_rl import files
from mssr_rl.errors import RunFailed, UserError


class BenchmarkReport(NamedTuple):
    """The result of a benchmark, as text and as values."""

    text: str  # tables and sentences
    results: Any  # the same as plain values


class Parser(ArgumentParser):
    """The parser of a benchmark's arguments, with --json and --short."""

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
        """Raise UserError with one sentence instead of printing the usage text."""
        raise UserError(f"{message}; see --help")


def run(
    parser: Parser, measured: Callable[[Namespace], BenchmarkReport], words: Sequence[str]
) -> int:
    """Run a benchmark, print its report and write its JSON file.

    Return the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    try:
        options = parser.parse_args(words)
        _refuse_folder(options.json)
        report = measured(options)
        _write(options, report)
    except UserError as error:
        return _complain(parser, error, 2)
    except RunFailed as error:
        return _complain(parser, error, 1)
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"{report.text}\n")
    return 0


def positive(word: str) -> int:
    """Return the whole number in an argument. Raise UserError if it is not at least 1."""
    if not word.isdecimal() or int(word) < 1:
        raise UserError(f"{word!r} is not a whole number of at least 1")
    return int(word)


def say(line: str) -> None:
    """Print a line of progress on stderr."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _refuse_folder(file: Path | None) -> None:
    """Raise UserError if the file of --json cannot be written.

    This is checked before anything is measured.
    """
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        raise UserError(f"--json {file} is not a file in a folder that exists")


def _write(given: Namespace, report: BenchmarkReport) -> None:
    if given.json is None:
        return
    places = (Path, type(None))  # paths on this machine are left out
    options = {key: value for key, value in vars(given).items() if not isinstance(value, places)}
    content = {"options": options, "machine": measure.machine(), "results": report.results}
    files.write_json(given.json, content)


def _complain(parser: Parser, error: Exception, code: int) -> int:
    sys.stderr.write(f"{parser.prog.rpartition(' ')[2]}: {error}\n")
    return code
