"""`python -m mssr_rl grade FILE.jsonl [env=NAME]`: grades responses from a file, a line for each.

Reads objects {"id", "response", "answer", "choices"?} (and the columns by which an environment
grades: MathVista's "precision" and "answer_type") and writes {"id", "reward", "extracted",
"reason"} to stdout in the same order. The response may hold anything; the rest of a line is the
user's own, and what is wrong with it is a `UserError` that names the line. With `env=` the
environment's own verifier grades; `plugins=[module]` makes a name of your own known.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from mssr_rl import untrusted
from mssr_rl.config import overrides
from mssr_rl.data.reader import EXTRAS, answer_text
from mssr_rl.errors import UserError
from mssr_rl.grading import workers
from mssr_rl.grading.reward import Reward, accuracy
from mssr_rl.grading.verify import Verdict, verify
from mssr_rl.problem import Problem

LINE_BYTES = 2**26  # of one response with its row
USAGE = "grade takes a .jsonl file and, if you like, env=NAME and plugins=[module]"

Judge = tuple[Callable[[Problem, str], Verdict], Reward]


def by_value(problem: Problem, response: str) -> Verdict:
    """The verdict where no environment is named."""
    return verify(response, problem.answer, problem.choices)


class Item(NamedTuple):
    """One line of the file."""

    name: Any  # the line's id, whatever it is
    response: Any
    answer: str
    choices: tuple[str, ...] | None
    extras: Mapping[str, str] = MappingProxyType({})  # what a problem's own rule may look at

    @property
    def problem(self) -> Problem:
        """As much of a problem as grading looks at."""
        return Problem(
            key=str(self.name),
            prompt="",
            answer=self.answer,
            choices=self.choices,
            extras=dict(self.extras),
        )


def main(arguments: list[str]) -> int:
    """Grade the file named in `arguments`; 0 when every line was graded, whatever the verdicts."""
    files = [word for word in arguments if "=" not in word and not word.startswith("-")]
    words = overrides.parse(word for word in arguments if word not in files)
    if len(files) != 1 or set(words) - {"env", "plugins"}:
        raise UserError(f"{USAGE}; got {' '.join(arguments) or 'nothing'}")
    judge = _judge(words.get("env"), words.get("plugins", "[]"))
    workers.warm()
    for item in read_items(Path(files[0])):
        sys.stdout.write(json.dumps(grade(item, judge)) + "\n")
    return 0


def read_items(file: Path) -> Iterator[Item]:
    """The lines of a file, blank ones left out."""
    try:
        for number, line in enumerate(untrusted.lines(file, LINE_BYTES), 1):
            if line is None:
                raise UserError(f"{file} line {number} is longer than {LINE_BYTES >> 20} MiB")
            if line.strip():
                yield _item(line, f"{file} line {number}")
    except FileNotFoundError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error


def grade(item: Item, judge: Judge = (by_value, accuracy)) -> dict[str, Any]:
    """The result of one line; a response that is no text has no format."""
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


def _judge(env: str | None, plugins: str) -> Judge:
    """The verifier and reward of a named environment, or the default ones."""
    if env is None:
        return by_value, accuracy
    from mssr_rl.config.plugins import prepare
    from mssr_rl.envs import environments

    prepare(name.strip() for name in plugins.strip("[]").split(",") if name.strip())
    few = {"limit": 1} if "limit" in environments.options(env) else {}  # its data are not needed
    made = environments.make(env, **few)
    return made.rules.verdict, made.reward


def _item(line: bytes, where: str) -> Item:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{where} is no JSON: {str(error).splitlines()[0]}") from error
    if not isinstance(found, dict):
        raise UserError(f"{where} is no object with id, response and answer")
    for column in ("response", "answer"):
        if column not in found:
            raise UserError(f"{where} has no {column!r}; found {', '.join(found) or 'nothing'}")
    answer = answer_text(found["answer"])
    if not answer:
        raise UserError(f"{where} has an empty answer, or one that is neither text nor a number")
    choices = _choices(found.get("choices"), where)
    return Item(found.get("id"), found["response"], answer, choices, _extras(found, where))


def _extras(found: Mapping[str, Any], where: str) -> dict[str, str]:
    extras = {name: str(found[name]) for name in EXTRAS if found.get(name) not in (None, "")}
    try:
        int(float(extras.get("precision", "0")))
    except (ValueError, OverflowError) as error:
        raise UserError(f"{where}: precision is no number of decimal places") from error
    return extras


def _choices(value: Any, where: str) -> tuple[str, ...] | None:
    if value is None or value == []:
        return None
    if not (isinstance(value, list) and all(isinstance(v, str | int | float) for v in value)):
        raise UserError(f"{where}: choices is no list of texts")
    return tuple(str(v) for v in value)
