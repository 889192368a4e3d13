"""`python -m mssr_rl grade FILE.jsonl [env=NAME]`: grades responses from a file, a line for each.

Reads objects {"id", "response", "answer", "choices"?} and writes {"id", "reward", "extracted",
"reason"} to stdout in the same order. The response may hold anything; the rest of a line is the
user's own, and what is wrong with it is a `UserError` that names the line. With `env=` the
environment's own verifier grades; `plugins=[module]` makes a name of your own known.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl.config import overrides
from mssr_rl.data.reader import answer_text
from mssr_rl.errors import UserError
from mssr_rl.grading import workers
from mssr_rl.grading.reward import Reward, accuracy
from mssr_rl.grading.verify import Verdict, verify

USAGE = "grade takes a .jsonl file and, if you like, env=NAME and plugins=[module]"

Judge = tuple[Callable[..., Verdict], Reward]


class Item(NamedTuple):
    """One line of the file."""

    name: Any  # the line's id, whatever it is
    response: Any
    answer: str
    choices: tuple[str, ...] | None


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
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _item(line, f"{file} line {number}")
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or error}") from error


def grade(item: Item, judge: Judge = (verify, accuracy)) -> dict[str, Any]:
    """The result of one line; a response that is no text has no format."""
    verifier, reward = judge
    verdict, pays = Verdict("bad_format", None), 0.0
    if isinstance(item.response, str):
        verdict = verifier(item.response, item.answer, item.choices)
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
        return verify, accuracy
    from mssr_rl.config.plugins import prepare
    from mssr_rl.envs import environments

    prepare(name.strip() for name in plugins.strip("[]").split(",") if name.strip())
    few = {"limit": 1} if "limit" in environments.options(env) else {}  # its data are not needed
    made = environments.make(env, **few)
    return made.verify, made.reward


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
    return Item(found.get("id"), found["response"], answer, _choices(found.get("choices"), where))


def _choices(value: Any, where: str) -> tuple[str, ...] | None:
    if value is None or value == []:
        return None
    if not (isinstance(value, list) and all(isinstance(v, str | int | float) for v in value)):
        raise UserError(f"{where}: choices is no list of texts")
    return tuple(str(v) for v in value)
