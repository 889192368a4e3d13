"""`python -m mssr_rl grade FILE.jsonl [env=NAME]`: grades responses from a file, one per line.

It reads objects {"id", "response", "answer", "choices"?} from a .jsonl file, a .jsonl.gz file or
standard input (`-`). Some environments use more columns: MathVista's "precision" and "answer_type".
It writes {"id", "reward", "extracted", "reason"} to stdout in the same order. A response may hold
anything. A line that cannot be graded is reported on stderr and left out; then the exit code is 1.

`env=` grades with the verifier of an environment, and `plugins=[module]` registers your own.
`against=` compares the verdicts with another grader's (`disagreements`), and `export=` writes the
differences to a file. Sample logs of lmms-eval and VLMEvalKit are read too (`sample_logs`);
`against=recorded` compares their own verdicts with ours.
"""

import gzip
import json
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, cast

from mssr_rl import sample_logs, untrusted
from mssr_rl.config.words import file_name, parse_words
from mssr_rl.data.reader import EXTRAS, answer_text
from mssr_rl.errors import UserError
from mssr_rl.grading import workers
from mssr_rl.grading.readable import parseable
from mssr_rl.grading.reward import Reward, accuracy
from mssr_rl.grading.verify import Verdict, verify
from mssr_rl.problem import Problem
from mssr_rl.typed import option

if TYPE_CHECKING:
    from mssr_rl.disagreements import Disagreements

LINE_BYTES = 2**26  # limit for one line
EVERY = 10.0  # seconds between two reports of progress
NAMED = 20  # lines and gold answers that are listed

Judge = tuple[Callable[[Problem, str], Verdict], Reward]


def by_value(problem: Problem, response: str) -> Verdict:
    """Return the verdict on a response by value, for use without an environment."""
    return verify(response, problem.answer, problem.choices)


class GradedLine(NamedTuple):
    """One response of the file, with what is needed to grade it."""

    name: Any  # the line's id, of any type
    response: Any
    answer: str
    choices: tuple[str, ...] | None
    extras: Mapping[str, str] = MappingProxyType({})  # other inputs of an environment's rule
    recorded: bool | None = None  # the verdict that a sample log holds

    @property
    def problem(self) -> Problem:
        """A problem with the fields that grading uses."""
        return Problem(
            key=str(self.name),
            prompt="",
            answer=self.answer,
            choices=self.choices,
            extras=dict(self.extras),
        )


@dataclass(frozen=True, kw_only=True)
class GradeWords:
    """The arguments of `grade`."""

    file: str = file_name("responses, .jsonl or .jsonl.gz, - for standard input, or a sample log")
    env: str | None = option("grade as this environment does; null: by value", None)
    plugins: tuple[str, ...] = option("modules that register environments", ())
    against: str | None = option(
        "show where math-verify, exact or recorded (the log's verdicts) disagrees", None
    )
    export: str | None = option("write where they disagree to this .html or .csv file", None)


def grade_file(arguments: Sequence[str]) -> int:
    """Grade the file named in `arguments`; return 0 if every line was graded, else 1."""
    words = parse_words(GradeWords, arguments)
    export = _export(words)
    judge = _judge(words.env, words.plugins)
    disagreements = _disagreements(words.against)
    workers.warm()
    progress = _Progress()
    for item in progress.items(_rows(words.file)):
        result = grade(item, judge)
        sys.stdout.write(json.dumps(result) + "\n")
        progress.count(str(result["reason"]))
        if words.env is None:
            progress.look_at(item)
        if disagreements:
            disagreements.add(item.name, item.answer, result, item.recorded)
    sys.stdout.flush()
    progress.close()
    if disagreements:
        _say(disagreements.summary())
        if export:
            disagreements.write(export)
            _say(f"wrote {export}")
    return 1 if progress.left_out else 0


def grade(item: GradedLine, judge: Judge = (by_value, accuracy)) -> dict[str, Any]:
    """Return the result of one line; its reason is bad_format if the response is not text."""
    verifier, reward = judge
    verdict, pays = Verdict("bad_format", None), 0.0
    if isinstance(item.response, str):
        verdict = verifier(item.problem, item.response)
        pays = reward(verdict, item.response)
    return {
        "id": item.name,
        "reward": int(pays) if pays == int(pays) else pays,
        "extracted": verdict.extracted,
        "reason": verdict.reason,
    }


class _Progress:
    """Counts results, reports lines that are left out, and prints the progress on stderr."""

    def __init__(self) -> None:
        self.begun = self.said = time.monotonic()
        self.reasons: Counter[str] = Counter()
        self.left_out = 0
        self.golds: dict[str, bool] = {}  # gold answer -> whether it can be parsed

    def items(self, rows: Iterator["GradedLine | UserError"]) -> Iterator[GradedLine]:
        """Yield the lines that can be graded; report the others on stderr."""
        for row in rows:
            if isinstance(row, GradedLine):
                yield row
                continue
            self.left_out += 1
            if self.left_out <= NAMED:
                _say(f"{row}; left out")
        if not self.reasons and not self.left_out:
            raise UserError("there is no line to grade: the file is empty")

    def count(self, reason: str) -> None:
        """Count one line with this reason."""
        self.reasons[reason] += 1
        now = time.monotonic()
        if now - self.said > EVERY:
            self.said = now
            _say(f"{self.reasons.total():,} graded, {self._rate(now):,.0f} a second")

    def look_at(self, item: GradedLine) -> None:
        """Record whether the gold answer of this line can be parsed."""
        if item.answer not in self.golds:
            self.golds[item.answer] = parseable(item.answer, item.choices)

    def close(self) -> None:
        """Print the summary."""
        unread = [gold for gold, readable in self.golds.items() if not readable]
        if unread:
            few = ", ".join(ascii(gold[:40]) for gold in unread[:NAMED])
            more = f" and {len(unread) - NAMED:,} more" if len(unread) > NAMED else ""
            what = "gold answers cannot be read and pay" if unread[1:] else "gold answer pays"
            _say(f"{len(unread):,} {what} only word for word: {few}{more}")
        now = time.monotonic()
        counts = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.most_common())
        left = f"; {self.left_out:,} lines left out" if self.left_out else ""
        graded = self.reasons.total()
        _say(f"graded {graded:,} in {now - self.begun:.1f} s: {counts or 'nothing'}{left}")

    def _rate(self, now: float) -> float:
        return self.reasons.total() / max(now - self.begun, 1e-9)


def _say(text: str) -> None:
    sys.stderr.write(text.encode("ascii", "backslashreplace").decode() + "\n")
    sys.stderr.flush()


def _export(words: GradeWords) -> Path | None:
    if words.export is None:
        return None
    if words.against is None:
        raise UserError(
            "export= writes disagreements: name the other grader, e.g. against=math-verify"
        )
    if Path(words.export).suffix not in (".html", ".csv"):
        raise UserError(f"export={words.export}: write a file that ends in .html or .csv")
    return Path(words.export)


def _disagreements(other: str | None) -> "Disagreements | None":
    if other is None:
        return None
    from mssr_rl.disagreements import Disagreements  # its imports take a second

    return Disagreements(other)


def _judge(env: str | None, plugins: Sequence[str]) -> Judge:
    """Return the verifier and the reward of a named environment, or the default ones."""
    if env is None:
        return by_value, accuracy
    from mssr_rl.config.plugins import prepare
    from mssr_rl.envs import environments

    prepare(plugins)
    few = {"limit": 1} if "limit" in environments.options(env) else {}  # its data are not needed
    made = environments.make(env, **few)
    return made.rules.verdict, made.reward


def _rows(name: str) -> Iterator["GradedLine | UserError"]:
    """Yield the lines that are not blank; in place of a line that cannot be graded, its error."""
    told = False
    for where, read_row in _table(name) if sample_logs.is_table(name) else _objects(name):
        try:
            row = read_row()
            suite = sample_logs.suite_of(row)
            if suite and not told:
                told = True
                _say(f"read as {suite}'s: the last box, else behind 'answer is', else the one line")
            yield _logged(row, where) if suite else _item(row, where)
        except UserError as error:
            yield error


def _table(name: str) -> Iterator[tuple[str, Callable[[], Mapping[str, Any]]]]:
    for number, row in enumerate(sample_logs.table(name)):
        yield f"{name} row {number}", partial(dict, row)


def _objects(name: str) -> Iterator[tuple[str, Callable[[], Mapping[str, Any]]]]:
    for number, line in enumerate(_lines(name), 1):
        where = f"{'standard input' if name == '-' else name} line {number}"
        if line is None or line.strip():
            yield where, partial(_object, line, where)


def _lines(name: str) -> Iterator[bytes | None]:
    """Yield the lines of the file; None for one that is too long."""
    try:
        with _opened(name) as file:
            while line := file.readline(LINE_BYTES + 1):
                if len(line) <= LINE_BYTES:
                    yield line
                    continue
                while line and not line.endswith(b"\n"):
                    line = file.readline(LINE_BYTES)
                yield None
    except FileNotFoundError as error:
        raise UserError(f"{name} cannot be read: {error.strerror}") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{name} cannot be read to its end: {error}") from error


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    with untrusted.opened(Path(name), untrusted.STREAM_BYTES) as file:
        packed = name.lower().endswith(".gz")
        yield cast(BinaryIO, gzip.GzipFile(fileobj=file) if packed else file)


def _object(line: bytes | None, where: str) -> Mapping[str, Any]:
    if line is None:
        raise UserError(f"{where} is longer than {LINE_BYTES >> 20} MiB")
    return untrusted.line_object(line, where, "id, response and answer")


def _item(entry: Mapping[str, Any], where: str) -> GradedLine:
    for column in ("response", "answer"):
        if column not in entry:
            raise UserError(f"{where} has no {column!r}; found {', '.join(entry) or 'nothing'}")
    answer = answer_text(entry["answer"])
    if not answer:
        raise UserError(f"{where} has an empty answer, or one that is neither text nor a number")
    choices = _choices(entry.get("choices"), where)
    return GradedLine(entry.get("id"), entry["response"], answer, choices, _extras(entry, where))


def _logged(row: Mapping[str, Any], where: str) -> GradedLine:
    try:
        one = sample_logs.logged(row)
    except ValueError as error:
        raise UserError(f"{where} {error}") from error
    extras = _extras(one.extras, where)
    response = sample_logs.boxed(one.response)
    return GradedLine(one.name, response, one.answer, one.choices, extras, one.recorded)


def _extras(entry: Mapping[str, Any], where: str) -> dict[str, str]:
    extras = {name: str(entry[name]) for name in EXTRAS if entry.get(name) not in (None, "")}
    try:
        int(float(extras.get("precision", "0")))
    except (ValueError, OverflowError) as error:
        raise UserError(f"{where}: precision is not a number of decimal places") from error
    return extras


def _choices(value: Any, where: str) -> tuple[str, ...] | None:
    if value is None or value == []:
        return None
    if not (isinstance(value, list) and all(isinstance(v, str | int | float) for v in value)):
        raise UserError(f"{where}: choices is not a list of texts")
    return tuple(str(v) for v in value)
