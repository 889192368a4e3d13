r"""Reads the logs of other evaluation suites as lines to grade, with the suite's own verdict.

    lmms-eval    samples of --log_samples, .jsonl: target, filtered_resps (or resps), a key a metric
    VLMEvalKit   predictions, .xlsx, .tsv, .csv, .json: prediction, answer, A, B, ... and hit

Prompts of these suites rarely ask for think tags or a box, so the answer is searched in more
places: the last \boxed{}, else the text after the last "answer is", else a response of one line.
The suite's own processing of a response is not repeated here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mssr_rl.data import golds, multiple_choice, table_files
from mssr_rl.data.workbooks import workbook_rows
from mssr_rl.errors import UserError
from mssr_rl.grading.verify import last_box, with_think_block

TABLES = (".tsv", ".csv", ".json", ".xlsx", ".xls")

_LMMS_OWN = frozenset(  # of a sample in lmms-eval; every other key is a metric
    ("doc_id", "doc", "doc_hash", "prompt_hash", "target_hash", "target", "input", "arguments",
     "resps", "filtered_resps", "filter", "token_counts", "input_media", "submission")
)  # fmt: skip
_VERDICTS = ("hit", "score", "verifier_score", "verifier_match", "eval_score", "match", "correct")
_INSIDE = ("true_false", "scores", "is_correct", "correct", "score", "hit")  # of a metric's object
_BEHIND = re.compile(
    r"\b(?:answer|option|choice)(?:\*\*)?\s*(?:is|are|:|：)\s*:?\s*(?P<answer>\S[^\n]*)",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"\*\*|^\s*[$]+|[$]+\s*$")


class LoggedAnswer(NamedTuple):
    """One response of a log, with its gold answer and the suite's own verdict."""

    name: Any
    response: str
    answer: str
    choices: tuple[str, ...] | None
    recorded: bool | None  # the log's own verdict; None without one
    extras: dict[str, str]


def suite_of(row: Mapping[str, Any]) -> str | None:
    """Return the name of the suite that wrote a row; None for a line in our own format.

    The columns of the row show the suite.
    """
    if "target" in row and ("filtered_resps" in row or "resps" in row):
        return "lmms-eval"
    if "prediction" in row and "answer" in row and "response" not in row:
        return "VLMEvalKit"
    return None


def is_table(name: str) -> bool:
    """Return whether a file holds a table rather than lines."""
    return name.lower().removesuffix(".gz").endswith(TABLES)


def table(name: str) -> Iterator[Mapping[str, Any]]:
    """Return an iterator over the rows of a table.

    Raises:
        UserError: there is no such file, or it is an Excel table of the old kind.
    """
    path = Path(name)
    if not path.is_file():
        raise UserError(f"{name} cannot be read: there is no such file")
    if name.lower().endswith(".xlsx"):
        return workbook_rows(path)
    if name.lower().endswith(".xls"):
        raise UserError(f"{name} is an old Excel table: save it as .xlsx, .tsv or .csv")
    return table_files.rows_of(path)


def logged(row: Mapping[str, Any]) -> LoggedAnswer:
    """Return a row of a log as a response to grade.

    Raises:
        ValueError: the response is not text, or the gold answer is missing or invalid.
    """
    return (_of_lmms_eval if suite_of(row) == "lmms-eval" else _of_vlmevalkit)(row)


def boxed(response: str) -> str:
    r"""Return the response with its answer in a box after a think block.

    The answer is the last \boxed{}, else the text after the last "answer is" or "Answer:" on its
    line, else the whole response if it is one line. Without an answer there is no box.
    """
    rest = with_think_block(response)
    head = "<think></think>"
    if last_box(rest) is not None or not rest.startswith(head):
        return rest  # it has a box already, or its think block is not closed
    text = rest.removeprefix(head).strip()
    matches = list(_BEHIND.finditer(text))
    if not matches and "\n" in text:
        return rest
    answer = _MARKUP.sub("", matches[-1]["answer"] if matches else text).strip()
    return f"{head}\\boxed{{{answer.removesuffix('.')}}}" if answer else rest


def _of_lmms_eval(row: Mapping[str, Any]) -> LoggedAnswer:
    response = _innermost(row.get("filtered_resps", row.get("resps")))
    metrics = {name: value for name, value in row.items() if name not in _LMMS_OWN}
    inside: Mapping[str, Any] = next((v for v in metrics.values() if isinstance(v, Mapping)), {})
    doc = row["doc"] if isinstance(row.get("doc"), Mapping) else inside
    options = multiple_choice.read_options([doc.get("choices") or doc.get("options")])
    prompt = row.get("input")
    if options is None and isinstance(prompt, str):
        options = multiple_choice.inline(prompt)
    verdicts = [verdict for value in metrics.values() if (verdict := _verdict(value)) is not None]
    return LoggedAnswer(
        row.get("doc_id"),
        response,
        golds.gold(row["target"], options).text,
        tuple(options) if options else None,
        verdicts[0] if verdicts else None,
        _extras(doc),
    )


def _of_vlmevalkit(row: Mapping[str, Any]) -> LoggedAnswer:
    letters = [name for name in multiple_choice.LETTERS if _filled(row.get(name))]
    cells = [row[name] for name in letters] or [row.get("choices")]
    options = multiple_choice.read_options(cells) if len(cells) != 1 or not letters else None
    answer = row["answer_option"] if _filled(row.get("answer_option")) else row["answer"]
    verdicts = (_verdict(row[name]) for name in _VERDICTS if _filled(row.get(name)))
    return LoggedAnswer(
        row.get("index", row.get("id")),
        _innermost(row["prediction"]),
        golds.gold(answer, options).text,
        tuple(options) if options else None,
        next((verdict for verdict in verdicts if verdict is not None), None),
        _extras(row),
    )


def _innermost(value: Any) -> str:
    """Return the only response in nested lists. Raises `ValueError` for several responses."""
    while isinstance(value, Sequence) and not isinstance(value, str):
        if len(value) != 1:
            raise ValueError(f"has {len(value)} responses: give each a line of its own")
        value = value[0]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)  # a table's cell that looks like a number
    if not isinstance(value, str):
        raise ValueError("has no response that is text")
    return value


def _verdict(value: Any) -> bool | None:
    """Return the verdict that a value holds; None if it holds none.

    The value is a bool, 0 or 1, their text, or an object or a list of one with such a value.
    """
    if isinstance(value, Mapping):
        named = (_verdict(value[name]) for name in _INSIDE if name in value)
        return next((verdict for verdict in named if verdict is not None), None)
    if isinstance(value, list):
        return _verdict(value[0]) if len(value) == 1 else None
    if isinstance(value, str):
        return {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}.get(
            value.strip().lower()
        )
    return bool(value) if value in (0, 1) else None


def _filled(value: Any) -> bool:
    return str(value) not in ("", "nan", "None")


def _extras(row: Mapping[str, Any]) -> dict[str, str]:
    columns = {name: row[name] for name in ("precision", "answer_type", "question_type", "unit")
             if _filled(row.get(name))}  # fmt: skip
    return {name: str(value) for name, value in columns.items()}
