"""Rows in Vision-R1-RL's columns become problems; the one module through which data come in.

    load("mini_folder", "train")       problem  text, with or without <image> tags
    load("rows.jsonl", "val")          images   a list (or one) of {bytes, path}, bytes, PIL, path
    load("owner/name", "test")         answer   text or a number, plain or in <answer> tags
                                       choices, id, family, level, subject: if there

Where the rows lie and which file answers for which split is the business of `sources`, pictures
that of `pictures`. Whatever cannot be used is a `UserError` that names the file and the row.
"""

import difflib
import hashlib
import itertools
import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mssr_rl.data import columns, faults, pictures, sources
from mssr_rl.data.hub import hub_source
from mssr_rl.errors import UserError
from mssr_rl.problem import Problem
from mssr_rl.prompts import IMAGE

TAGS = ("family", "level", "subject", "category", "problem_version")  # kept for break-downs
EXTRAS = (  # kept for scoring rules and reports
    "precision", "unit", "question_for_eval", "set_id", "figure_id", "question_id", "subcategory",
    "problem_index", "answer_type", "question_type",
)  # fmt: skip

_OFTEN_CALLED = {
    "problem": ("question", "prompt", "query"),
    "answer": ("solution", "ground_truth", "label", "gt_answer"),
    "images": ("image", "decoded_image", "image_path"),
}
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_WRAPPED = re.compile(r"\s*<answer>(.*)</answer>\s*", re.DOTALL)

log = logging.getLogger(__name__)


def load(data: str, split: str, limit: int | None = None) -> list[Problem]:
    """The problems of one split ("train", "val", "test") of a file, a folder or a hub id.

    A missing val is the data's test (and the reverse, both with a warning); where there is only a
    train split, or one file, a tenth of it (at most 512 rows, chosen by a hash of their keys) is
    both val and test and is missing from train. `limit` keeps the first rows of what remains.
    """
    return problems(_find(data, split), split, limit)


def problems(source: sources.Source, split: str, limit: int | None = None) -> list[Problem]:
    """The problems of a source that was already found."""
    if limit is not None and limit < 1:
        raise UserError(f"limit={limit} leaves no rows: use a positive number, or none")
    rows = _numbered(source)
    if source.holds_out:
        rows = _part(list(rows), split, source.name)
    found = list(_problems(itertools.islice(rows, limit), source))
    if not found:
        raise UserError(f"{source.name} has no rows in its {source.split} split")
    return found


def answer_text(value: Any) -> str:
    """A gold answer as text, out of its <answer> tags; empty if there is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    if isinstance(value, float) and math.isnan(value):
        return ""
    text = str(value)
    wrapped = _WRAPPED.fullmatch(text)
    return (wrapped[1] if wrapped else text).strip()


def _find(data: str, split: str) -> sources.Source:
    if split not in sources.SPLITS:
        raise UserError(f"no split {split!r}; choose from {', '.join(sources.SPLITS)}")
    path = Path(data).expanduser()
    if path.exists():
        return sources.local(path, split)
    if _HUB_ID.fullmatch(data):
        return hub_source(data, split)
    raise UserError(
        f"there is no file or folder {data}; env.data takes mini, a {', '.join(sources.SUFFIXES)}"
        " file, a folder with train, val and test files, or a hub id as owner/name"
    )


Numbered = tuple[int, str, sources.Row]  # position in the source, key, row


def _numbered(source: sources.Source) -> Iterator[Numbered]:
    seen: dict[str, int] = {}
    for i, row in enumerate(source.rows()):
        try:
            key = _key(row, i, source)
            if key in seen:
                raise UserError(f"{source.name} rows {seen[key]} and {i} have the same id {key}")
        except UserError as error:
            faults.met(error)
            continue
        seen[key] = i
        yield i, key, row


def _key(row: sources.Row, i: int, source: sources.Source) -> str:
    if "id" not in row:
        return f"{source.split}-{i}"
    if isinstance(row["id"], bool) or not isinstance(row["id"], str | int) or row["id"] == "":
        raise UserError(f"{source.name} row {i} has no id; give every row one, or drop the column")
    return str(row["id"])


def _part(rows: list[Numbered], split: str, name: str) -> Iterator[Numbered]:
    """What is held out of `rows`, or what is left of them for training."""
    if not rows:
        raise UserError(f"{name} has no rows in its {split} split; give it at least two")
    if len(rows) < 2:
        raise UserError(f"{name} has {len(rows)} rows: too few to hold some out for validation")
    order = sorted(rows, key=lambda row: hashlib.blake2b(row[1].encode()).digest())
    count = max(1, min(512, len(rows) // 10))
    held = {row[0] for row in order[:count]}
    if split != "train":
        log.warning("%s is one split: %d of its rows are kept as val and test", name, count)
    return (row for row in rows if (row[0] in held) == (split != "train"))


def _problems(rows: Iterable[Numbered], source: sources.Source) -> Iterator[Problem]:
    for i, key, row in rows:
        where = f"{source.name} row {i} (id {key})"
        try:
            problem = _problem((key, row), source, where)
        except UserError as error:
            faults.met(error)
            continue
        yield problem


def _problem(keyed: tuple[str, sources.Row], source: sources.Source, where: str) -> Problem:
    key, row = keyed
    prompt, answer = _text(row, where), answer_text(_column(row, "answer", where))
    if not answer:
        raise UserError(f"{where} has an empty answer: every problem needs one")
    images = _images(row, source, where)
    return Problem(
        key=key,
        prompt=_with_tags(prompt, len(images), where),
        answer=answer,
        images=images,
        choices=_choices(row.get("choices"), where),
        tags=_kept(row, TAGS),
        extras=_kept(row, EXTRAS),
    )


def _kept(row: sources.Row, columns: Iterable[str]) -> dict[str, str]:
    return {name: str(row[name]) for name in columns if row.get(name) not in (None, "")}


def _column(row: sources.Row, name: str, where: str) -> Any:
    if name in row:
        return row[name]
    usual = [column for column in _OFTEN_CALLED[name] if column in row]
    close = usual or difflib.get_close_matches(name, [str(column) for column in row], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UserError(f"{where} has no column {name!r}; {hint}found {', '.join(map(str, row))}")


def _text(row: sources.Row, where: str) -> str:
    text = _column(row, "problem", where)
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where} has an empty problem: it must be text")
    return text


def _images(row: sources.Row, source: sources.Source, where: str) -> tuple[bytes, ...]:
    """The row's pictures, encoded; a data set without pictures and tags needs no column."""
    if "images" not in row and IMAGE not in row["problem"] and not _other_image_column(row):
        refuse_unread(row, (), where)
        return ()
    items = _column(row, "images", where)
    if items is None or items == "":
        items = []
    items = items if isinstance(items, list | tuple) else [items]
    refuse_unread({k: v for k, v in row.items() if k != "images"}, items, where)
    contents = []
    for i, item in enumerate(items):
        try:
            contents.append(pictures.as_seen(pictures.encoded(item, source.folder)))
        except ValueError as error:
            raise UserError(f"{where}: picture {i} cannot be used, {error}") from error
    return tuple(contents)


def refuse_unread(row: Mapping[str, Any], read: Sequence[Any], where: str) -> None:
    """Raise `UserError` if a column of the row holds pictures that are not among those read."""
    if missed := columns.unread(row, read):
        raise UserError(
            f"{where}: the column {missed[0]!r} holds pictures and would not be read;"
            " name it images, or take it out"
        )


def _other_image_column(row: Mapping[str, Any]) -> bool:
    return any(row.get(column) is not None for column in _OFTEN_CALLED["images"])


def _with_tags(prompt: str, pictures_there: int, where: str) -> str:
    """The prompt with one tag a picture: in front, if it has none of its own."""
    tags = prompt.count(IMAGE)
    if tags == pictures_there:
        return prompt
    if tags:
        raise UserError(
            f"{where} has {tags} {IMAGE} tags but {pictures_there} pictures;"
            " write one tag for each, or none to have them in front"
        )
    return IMAGE * pictures_there + prompt


def _choices(value: Any, where: str) -> tuple[str, ...] | None:
    if value is None or value == []:
        return None
    if isinstance(value, list | tuple) and all(isinstance(v, str | int | float) for v in value):
        return tuple(str(v) for v in value)
    raise UserError(f"{where}: choices is no list of texts")
